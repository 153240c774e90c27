"""Models' answers to runs that are made again: from the record, as they came."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.model import CallContext, MemoryMeter, model_proxy
from codin.model import record as record_module
from codin.model.native import NativeApi
from codin.model.record import ModelRecord
from codin.model.recorded import RecordedMeter
from codin.model.upstream import HttpUpstream
from codin.security import LOCAL_USER
from codin.testing.a2a_server import listening
from codin.testing.scripted_model import ScriptedModel, Turn, error, hang, text


async def authenticate(token: str) -> CallContext:
    return CallContext(LOCAL_USER, token.partition(".")[0])


def ask(words: str, *, stream: bool = False) -> dict[str, Any]:
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": words}]}


class Asker:
    """A run's client; each attempt has a token of its own."""

    def __init__(self, http: httpx.AsyncClient, meter: MemoryMeter) -> None:
        self.http = http
        self.meter = meter
        self.token = "task-1.a"

    async def post(self, body: Any, path: str = "/v1/chat/completions") -> httpx.Response:
        return await self.http.post(
            path, json=body, headers={"authorization": f"Bearer {self.token}"}
        )


@asynccontextmanager
async def asking(
    model: ScriptedModel,
    record: ModelRecord,
    native: dict[str, NativeApi] | None = None,
    meter: MemoryMeter | None = None,
) -> AsyncIterator[Asker]:
    meter = meter or MemoryMeter()
    async with model.serve() as url:
        upstream = HttpUpstream(url, "m", "k")
        app = model_proxy(upstream, authenticate, meter, native=native or {}, record=record)
        async with listening(app) as base, httpx.AsyncClient(base_url=base) as http:
            yield Asker(http, meter)
        await upstream.aclose()


class Kept(list[dict[str, Any]]):
    """What a run's log has of its answers."""

    async def __call__(self, answer: dict[str, Any]) -> None:
        self.append(json.loads(json.dumps(answer)))


def again(record: ModelRecord, asker: Asker, kept: Kept) -> None:
    """The run of task-1 ends, and is made again in another process."""
    record.close("task-1")
    record.open("task-1", kept, kept)
    asker.token = "task-1.b"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_request_gets_the_same_answers_in_their_order(stream: bool) -> None:
    record, kept = ModelRecord(), Kept()
    model = ScriptedModel([text("one"), text("two ä"), text("three"), text("four")])
    async with asking(model, record) as asker:
        record.open("task-1", (), kept)
        first = [await asker.post(ask(words, stream=stream)) for words in ("x", "x", "y")]
        again(record, asker, kept)
        second = [await asker.post(ask(words, stream=stream)) for words in ("y", "x", "x")]
        assert [one.content for one in second] == [first[i].content for i in (2, 0, 1)]
        assert second[0].headers["content-type"] == first[0].headers["content-type"]
        assert len(model.requests) == 3
        assert len(asker.meter.usage("task-1")) == 3, "nothing is metered that no model did"
        new = await asker.post(ask("x", stream=stream))
        assert "four" in new.text
        again(record, asker, kept)
        third = [await asker.post(ask("x", stream=stream)) for _ in range(3)]
        assert "four" in third[-1].text
        assert len(model.requests) == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_request_used_is_written_down_before_its_answer(stream: bool) -> None:
    record, kept = ModelRecord(), Kept()
    meter = RecordedMeter(record)
    turns = [Turn(text="one", usage=(7, 3)), error(400)]
    async with asking(ScriptedModel(turns), record, meter=meter) as asker:
        record.open("task-1", keep=kept)
        await asker.post(ask("first", stream=stream))
        record.close("task-1")
        record.open("task-1", kept[1:], kept)
        await asker.post(ask("first", stream=stream))
        assert meter.tokens("task-1") == 10, "an answer from the record uses nothing"
        await asker.post(ask("what fails", stream=stream))
    assert kept[0] == {"used": {"model": "m", "input_tokens": 7, "output_tokens": 3}}
    assert "asked" in kept[1]
    assert kept[2:] == [{"used": {"model": "m", "input_tokens": 0, "output_tokens": 0}}]


async def test_runs_do_not_get_each_others_answers() -> None:
    record, kept = ModelRecord(), Kept()
    model = ScriptedModel([text("one"), text("two"), text("three")])
    async with asking(model, record) as asker:
        record.open("task-1", (), kept)
        await asker.post(ask("x"))
        record.close("task-1")
        asker.token = "task-2"
        assert "two" in (await asker.post(ask("x"))).text
        record.open("task-1", kept)
        assert "three" in (await asker.post(ask("x"))).text


async def test_what_failed_or_was_not_sent_whole_is_asked_again() -> None:
    record, kept = ModelRecord(), Kept()
    model = ScriptedModel([error(500, "no"), hang(), text("one")])
    async with asking(model, record) as asker:
        record.open("task-1", (), kept)
        assert (await asker.post(ask("x"))).status_code >= 400
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asker.post(ask("x", stream=True))
        again(record, asker, kept)
        assert "one" in (await asker.post(ask("x"))).text


async def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "MAX_BYTES", 1000)
    record, kept = ModelRecord(), Kept()
    model = ScriptedModel([text("a"), text("b" * 2000), text("c")])
    async with asking(model, record) as asker:
        record.open("task-1", (), kept)
        await asker.post(ask("x"))
        await asker.post(ask("y"))
        again(record, asker, kept)
        assert '"a"' in (await asker.post(ask("x"))).text
        assert '"c"' in (await asker.post(ask("y"))).text


async def test_answers_of_a_providers_own_api_are_kept_too() -> None:
    asked: list[str] = []

    async def answer(request: Request) -> Response:
        asked.append(request.url.path)
        if "stream" in request.url.path:
            return StreamingResponse(iter([b"data: 1\n\n"]), media_type="text/event-stream")
        return JSONResponse({"number": len(asked)})

    provider = Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])
    record, kept = ModelRecord(), Kept()
    async with listening(provider) as url:
        google = NativeApi(
            "Google", url, "x-goog-api-key", re.compile(r"v1beta/models/\w+:\w+"), "k"
        )
        async with asking(ScriptedModel(), record, {"google": google}) as asker:
            record.open("task-1", (), kept)
            paths = [f"/google/v1beta/models/m:{m}" for m in ("generate", "stream")]
            first = [await asker.post({}, f"{path}?key=task-1.a") for path in paths]
            again(record, asker, kept)
            second = [await asker.post({}, f"{path}?key=task-1.b") for path in paths]
            assert [one.content for one in second] == [one.content for one in first]
            assert len(asked) == 2
