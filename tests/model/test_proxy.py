"""The model proxy between real clients and a scripted provider."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.errors import CodinError
from codin.model import CallContext, MemoryMeter, model_proxy
from codin.model.native import NativeApi, UsageReader, native_apis
from codin.model.upstream import HttpUpstream
from codin.security import LOCAL_USER
from codin.testing.scripted_model import (
    ScriptedModel,
    _listen,
    _quiet_server,
    cut,
    error,
    hang,
    nonsense,
    text,
    tool_call,
)

pytestmark = pytest.mark.slow

ASK = {"model": "whatever", "messages": [{"role": "user", "content": "hello"}]}
KEY = "provider-key"


async def authenticate(token: str) -> CallContext:
    if token == "run-1":
        return CallContext(LOCAL_USER, "task-1", max_tokens=1000)
    raise CodinError("this run's token is not known")


@asynccontextmanager
async def serving(app) -> AsyncIterator[str]:
    sock, url = _listen(None)
    server = _quiet_server(app)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        yield url.removesuffix("/v1")
    finally:
        server.should_exit = server.force_exit = True
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def proxied(
    model: ScriptedModel, meter: MemoryMeter, native=None
) -> AsyncIterator[openai.AsyncOpenAI]:
    """An OpenAI client of a proxy before the model."""
    async with model.serve() as url:
        upstream = HttpUpstream(url, "chosen-model", KEY)
        app = model_proxy(upstream, authenticate, meter, native=native or {})
        async with (
            serving(app) as base,
            openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="run-1", max_retries=0) as client,
        ):
            yield client
        await upstream.aclose()


async def test_the_platforms_model_and_key_are_used(meter):
    model = ScriptedModel([text("hi")], api_key=KEY)
    async with proxied(model, meter) as client:
        answer = await client.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "hi"
    assert model.requests[0].body["model"] == "chosen-model"
    assert "run-1" not in json.dumps(model.requests[0].headers)


async def test_what_a_run_uses_is_metered(meter):
    counted = text("hello") + tool_call("t", {})
    model = ScriptedModel([counted, counted])
    async with proxied(model, meter) as client:
        answer = await client.chat.completions.create(**ASK)
        stream = await client.chat.completions.create(**ASK, stream=True)
        chunks = [chunk async for chunk in stream]
    first, second = meter.usage("task-1")
    assert first.input_tokens == answer.usage.prompt_tokens > 0
    assert (second.input_tokens, second.output_tokens) == (first.input_tokens, first.output_tokens)
    assert first.model == "chosen-model"
    # The client had not asked for the counts in its stream.
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


async def test_streams_pass_whole(meter):
    model = ScriptedModel([text("some text, ") + tool_call("run", {"code": "print('x' * 50)"})])
    async with proxied(model, meter) as client:
        stream = await client.chat.completions.create(
            **ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    arguments = "".join(
        call.function.arguments or "" for delta in deltas for call in delta.tool_calls or []
    )
    assert "".join(delta.content or "" for delta in deltas) == "some text, "
    assert json.loads(arguments) == {"code": "print('x' * 50)"}
    assert chunks[-1].usage.total_tokens > 0


async def test_a_run_that_used_its_tokens_is_stopped(meter):
    model = ScriptedModel(lambda _: text("x" * 8000))
    async with proxied(model, meter) as client:
        await client.chat.completions.create(**ASK)
        with pytest.raises(openai.RateLimitError, match="has used"):
            await client.chat.completions.create(**ASK)
    assert len(model.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("turn", "kind", "said"),
    [
        (error(429, "slow down"), openai.RateLimitError, "slow down"),
        (error(401, "bad key"), openai.APIStatusError, "bad key"),
        (error(500, "boom"), openai.InternalServerError, "boom"),
    ],
)
async def test_provider_errors_come_in_openai_shape(meter, stream, turn, kind, said):
    async with proxied(ScriptedModel([turn]), meter) as client:
        with pytest.raises(kind, match=said) as caught:
            await client.chat.completions.create(**ASK, stream=stream)
    # A key that the provider refuses is the platform's fault, not the run's.
    assert caught.value.status_code == (502 if said == "bad key" else turn.status)
    assert caught.value.body["type"]


@pytest.mark.parametrize("stream", [False, True])
async def test_nonsense_from_the_provider_is_a_clear_error(meter, stream):
    async with proxied(ScriptedModel([nonsense()]), meter) as client:
        with pytest.raises(openai.InternalServerError, match=r"no chat completion|no events"):
            await client.chat.completions.create(**ASK, stream=stream)


async def test_a_stream_that_breaks_ends_with_an_error(meter):
    async with proxied(ScriptedModel([cut("a long text " * 5, after=2)]), meter) as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        with pytest.raises(openai.APIError, match="cannot be reached"):
            async for _ in stream:
                pass


async def test_an_unreachable_provider_is_a_clear_error(meter):
    upstream = HttpUpstream("http://127.0.0.1:9/v1", "m")
    app = model_proxy(upstream, authenticate, meter, native={})
    async with asgi(app) as client:
        answer = await client.post("/v1/chat/completions", json=ASK, headers=bearer())
    assert answer.status_code == 503
    assert "cannot be reached" in answer.json()["error"]["message"]


@pytest.mark.parametrize("turn", [hang(), text("x" * 4000, delay=0.02)])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_generation(meter, turn, stream):
    model = ScriptedModel([turn])
    async with proxied(model, meter) as client:
        asking = client.chat.completions.create(**ASK, stream=stream)
        task = asyncio.create_task(drained(asking, stream))
        async with asyncio.timeout(5):
            while not model.requests:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if stream or turn.hang:
                while not model.requests[0].disconnected:
                    await asyncio.sleep(0.01)
            while not meter.usage("task-1"):
                await asyncio.sleep(0.01)


async def drained(asking, stream: bool) -> None:
    answer = await asking
    if stream:
        async for _ in answer:
            pass


def asgi(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy")


def bearer(token: str = "run-1") -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("headers", "said"), [({}, "missing"), (bearer("run-2"), "not known"), (bearer(""), "missing")]
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/anthropic/v1/messages"])
async def test_nothing_goes_without_a_runs_token(meter, headers, said, path):
    app = model_proxy(HttpUpstream("http://127.0.0.1:9", "m"), authenticate, meter)
    async with asgi(app) as client:
        answer = await client.post(path, json=ASK, headers=headers)
        models = await client.get("/v1/models", headers=headers)
    assert (answer.status_code, models.status_code) == (401, 401)
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"no json", 400),
        (b"[]", 400),
        (b'{"messages": 3}', 400),
        (b"x" * (16 * 1024 * 1024 + 1), 413),
    ],
)
async def test_faulty_bodies_are_refused(meter, content, status):
    app = model_proxy(HttpUpstream("http://127.0.0.1:9", "m"), authenticate, meter)
    async with asgi(app) as client:
        answer = await client.post("/v1/chat/completions", content=content, headers=bearer())
    assert answer.status_code == status
    assert answer.json()["error"]["code"]


async def test_unknown_urls_are_told_in_openai_shape(meter):
    app = model_proxy(HttpUpstream("http://127.0.0.1:9", "m"), authenticate, meter)
    async with asgi(app) as client:
        for method, path in (("GET", "/v1/files"), ("POST", "/v1/embeddings"), ("GET", "/x")):
            answer = await client.request(method, path, headers=bearer())
            assert answer.status_code == 404
            assert path in answer.json()["error"]["message"]


async def test_the_models_list_has_the_platforms_choice(meter):
    app = model_proxy(HttpUpstream("http://127.0.0.1:9", "chosen"), authenticate, meter)
    async with asgi(app) as client:
        answer = await client.get("/v1/models", headers=bearer())
    assert [model["id"] for model in answer.json()["data"]] == ["chosen"]


ANTHROPIC_EVENTS = (
    b'event: message_start\ndata: {"type":"message_start","message":'
    b'{"usage":{"input_tokens":25,"output_tokens":1}}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":15}}\n\n'
)


class Provider:
    """A provider's native API that keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["POST"])])

    async def answer(self, request: Request) -> Response:
        self.seen.append(request)
        await request.body()
        if "stream" in request.url.path or b"stream" in await request.body():
            return StreamingResponse(iter([ANTHROPIC_EVENTS]), media_type="text/event-stream")
        counts = {"promptTokenCount": 7, "candidatesTokenCount": 3}
        return JSONResponse({"usageMetadata": counts}, 200, {"x-internal": "1"})


@asynccontextmanager
async def native_proxy(meter, key="real-key") -> AsyncIterator[tuple[Provider, httpx.AsyncClient]]:
    provider = Provider()
    async with serving(provider.app) as url:
        apis = {
            "anthropic": NativeApi("Anthropic", url, "x-api-key", re.compile("v1/messages"), key),
            "google": NativeApi(
                "Google", url, "x-goog-api-key", re.compile(r"v1beta/models/\w+:\w+"), key
            ),
        }
        upstream = HttpUpstream("http://127.0.0.1:9", "m")
        async with asgi(model_proxy(upstream, authenticate, meter, native=apis)) as client:
            yield provider, client


async def test_native_requests_pass_with_the_key_swapped_and_are_metered(meter):
    async with native_proxy(meter) as (provider, client):
        answer = await client.post(
            "/anthropic/v1/messages",
            json={"stream": True},
            headers={"x-api-key": "run-1", "anthropic-version": "2023-06-01", "cookie": "c=1"},
        )
        google = await client.post("/google/v1beta/models/g:generateContent?key=run-1", json={})
    assert answer.content == ANTHROPIC_EVENTS
    assert answer.headers["content-type"].startswith("text/event-stream")
    sent = provider.seen[0].headers
    assert sent["x-api-key"] == "real-key"
    assert sent["anthropic-version"] == "2023-06-01"
    assert "cookie" not in sent
    assert provider.seen[1].headers["x-goog-api-key"] == "real-key"
    assert "run-1" not in str(provider.seen[1].url)
    assert "x-internal" not in google.headers
    counts = [(usage.input_tokens, usage.output_tokens) for usage in meter.usage("task-1")]
    assert counts == [(25, 15), (7, 3)]


async def test_native_calls_other_than_generation_do_not_pass(meter):
    async with native_proxy(meter) as (provider, client):
        for path in ("/anthropic/v1/files", "/google/v1beta/files", "/anthropic/v1/messages/../x"):
            answer = await client.post(path, json={}, headers=bearer())
            assert answer.status_code == 404
    assert provider.seen == []


async def test_a_provider_without_key_is_told(meter):
    async with native_proxy(meter, key="") as (_, client):
        answer = await client.post("/anthropic/v1/messages", json={}, headers=bearer())
    assert answer.status_code == 503
    assert "no key for Anthropic" in answer.json()["error"]["message"]


def test_the_real_native_apis_pass_generation_only():
    apis = native_apis({"ANTHROPIC_API_KEY": "sk-a", "GEMINI_API_KEY": "sk-g"})
    assert apis["anthropic"].allows("v1/messages")
    assert not apis["anthropic"].allows("v1/organizations/api_keys")
    assert apis["google"].allows("v1beta/models/gemini-3.8-flash:streamGenerateContent")
    assert not apis["google"].allows("v1beta/models/../files:generateContent")
    assert "sk-" not in repr(apis)


def test_usage_is_found_in_whole_answers_and_in_none():
    reader = UsageReader()
    reader.feed(b'{"usage": {"input_tokens": 4, ')
    reader.feed(b'"output_tokens": 2}}')
    assert reader.counts() == (4, 2)
    assert UsageReader().counts() == (0, 0)
