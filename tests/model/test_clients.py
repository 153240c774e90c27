"""The platform's own clients: text, validated output, repairs, limits, errors."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from codin.model import (
    BadModelOutput,
    BudgetExceeded,
    CallContext,
    ChatMessage,
    MemoryMeter,
    ModelChoice,
    ModelClient,
    ModelRefused,
    ModelService,
    ModelTimeout,
    ModelUnavailable,
    ModelUsage,
    describe_models,
    parse,
)
from codin.model.catalog import embedded_choice
from codin.model.embedded.client import EmbeddedClient
from codin.model.providers import ProviderClient
from codin.model.upstream import HttpUpstream
from codin.security import LOCAL_USER
from codin.testing.scripted_model import ScriptedModel, error, hang, text, tool_call

pytestmark = pytest.mark.slow

ASK = [ChatMessage("system", "Be exact."), ChatMessage("user", "How many?")]


class Count(BaseModel):
    kind: Literal["rows", "files"]
    number: int = Field(ge=0)


GOOD = {"kind": "rows", "number": 3}
BAD = {"kind": "rows", "number": -1}


@pytest.fixture(params=["embedded", "provider"])
def make(request, meter):
    """A client of either kind before a scripted model."""

    def build(url: str) -> tuple[ModelClient, Any]:
        if request.param == "embedded":
            upstream = HttpUpstream(url, "m")
            return EmbeddedClient(embedded_choice(), upstream, meter), lambda v: text(json.dumps(v))
        choice = ModelChoice("openai", "m", url, "m (test)")
        return ProviderClient(choice, meter), lambda v: tool_call("final_result", v)

    return build


async def asked(make, context, turns, **options):
    model = ScriptedModel()
    async with model.serve() as url:
        client, shaped = make(url)
        model.add(*(shaped(turn) if isinstance(turn, dict) else turn for turn in turns))
        return await client.generate(ASK, context=context, **options), model


async def test_text(make, context, meter):
    answer, model = await asked(make, context, [text("three")])
    assert answer == "three"
    assert model.requests[0].system == "Be exact."
    assert model.requests[0].last_user == "How many?"
    (usage,) = meter.usage("task-1")
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.seconds > 0


async def test_output_is_validated(make, context):
    answer, _ = await asked(make, context, [GOOD], output=Count)
    assert answer == Count(kind="rows", number=3)


async def test_output_that_is_not_valid_is_repaired_once_told_why(make, context):
    answer, model = await asked(make, context, [BAD, GOOD], output=Count)
    assert answer.number == 3
    assert "greater than or equal to 0" in json.dumps(model.requests[1].body)


async def test_output_that_stays_wrong_is_an_error(make, context, meter):
    with pytest.raises(BadModelOutput):
        await asked(make, context, [BAD] * 5, output=Count)
    assert meter.usage("task-1")


async def test_a_model_that_refuses(make, context, meter):
    with pytest.raises(ModelRefused, match="no such model"):
        await asked(make, context, [error(404, "no such model")])
    assert len(meter.usage("task-1")) == 1


async def test_a_model_that_hangs(make, context):
    with pytest.raises(ModelTimeout, match=r"0\.2 s"):
        await asked(make, context, [hang()], timeout=0.2)


async def test_a_model_that_is_not_there(make, context):
    client, _ = make("http://127.0.0.1:9/v1")
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await client.generate(ASK, context=context)


async def test_a_run_without_tokens_left_does_not_ask(make, meter):
    context = CallContext(LOCAL_USER, "task-1", max_tokens=10)
    await meter.record(context, ModelUsage("m", 8, 3))
    with pytest.raises(BudgetExceeded, match="11 of its 10"):
        await asked(make, context, [text("no")])


async def test_text_streams(make, context, meter):
    model = ScriptedModel([text("a rather long text in pieces", chunk_chars=5)])
    async with model.serve() as url:
        client, _ = make(url)
        pieces = [piece async for piece in client.stream(ASK, context=context)]
    assert "".join(pieces) == "a rather long text in pieces"
    assert len(pieces) > 2
    assert meter.usage("task-1")[0].output_tokens > 0


async def test_a_stream_that_takes_too_long(make, context):
    model = ScriptedModel([text("x" * 400, delay=0.05)])
    async with model.serve() as url:
        client, _ = make(url)
        with pytest.raises(ModelTimeout):
            async for _ in client.stream(ASK, context=context, timeout=0.3):
                pass


async def test_cancelling_ends_the_request(make, context):
    model = ScriptedModel([hang()])
    async with model.serve() as url:
        client, _ = make(url)
        task = asyncio.create_task(client.generate(ASK, context=context))
        async with asyncio.timeout(10):
            while not model.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not model.requests[0].disconnected:
                await asyncio.sleep(0.01)


async def test_the_last_word_has_to_be_the_users(meter, context):
    client = ProviderClient(parse("openai:m", {}), meter)
    with pytest.raises(ModelRefused, match="user's"):
        await client.generate([ChatMessage("assistant", "hm")], context=context)


async def test_the_service_gives_client_and_proxy_over_one_model(monkeypatch, context):
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    model = ScriptedModel([text("one"), text("two")], api_key="right")
    async with (
        model.serve() as url,
        ModelService(ModelChoice("openai", "m", url, "m")) as service,
    ):
        await service.warm()
        assert await service.client.generate(ASK, context=context) == "one"
        answer = await service.upstream.complete({"messages": [{"role": "user", "content": "x"}]})
    assert answer["choices"][0]["message"]["content"] == "two"


async def test_a_meter_knows_the_tasks_that_asked_last(context):
    meter = MemoryMeter(tasks=2)
    for task_id in ("task-1", "task-2", "task-1", "task-3"):
        await meter.record(replace(context, task_id=task_id), ModelUsage("m", 3, 4))
    assert [meter.tokens(f"task-{number}") for number in (1, 2, 3)] == [14, 0, 7]


async def test_the_doctor_lists_every_way_and_marks_the_chosen(tmp_path):
    env = {
        "OLLAMA_HOST": "127.0.0.1:9",
        "CODIN_CACHE": str(tmp_path),
        "ANTHROPIC_API_KEY": "secret-key",
    }
    reports = await describe_models(env=env)
    by_name = {report.provider: report for report in reports}
    assert list(by_name) == ["openai", "anthropic", "google", "ollama", "embedded"]
    assert by_name["anthropic"].available
    assert by_name["anthropic"].chosen
    assert "OPENAI_API_KEY" in by_name["openai"].detail
    assert "codin model pull" in by_name["embedded"].detail
    assert "secret-key" not in repr(reports)
    assert json.dumps([report.as_dict() for report in reports])
    assert not any(r.chosen for r in await describe_models("nonsense", env=env))
