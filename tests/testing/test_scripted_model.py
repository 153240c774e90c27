"""The scripted model, seen through httpx and through the real OpenAI client."""

from __future__ import annotations

import asyncio
import json

import httpx
import openai
import pytest

from codin.testing.scripted_model import (
    ScriptedModel,
    cut,
    error,
    hang,
    nonsense,
    text,
    tool_call,
    when,
)

ASK = {"model": "x", "messages": [{"role": "user", "content": "hello there"}]}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0)


async def test_turns_come_in_order_and_are_recorded():
    model = ScriptedModel([text("one"), tool_call("add", {"a": 1}), text("two")])
    async with model.serve() as url, client(url) as c:
        first = await c.chat.completions.create(**ASK)
        second = await c.chat.completions.create(**ASK, tools=TOOLS)
        third = await c.chat.completions.create(**ASK)
    assert first.choices[0].message.content == "one"
    call = second.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 1})
    assert second.choices[0].finish_reason == "tool_calls"
    assert third.choices[0].message.content == "two"
    assert model.requests[1].tools == ["add"]
    assert model.requests[0].last_user == "hello there"
    assert model.pending == 0


async def test_streams_text_and_argument_deltas():
    arguments = {"code": "print('a long enough argument to be split')"}
    model = ScriptedModel([text("let me see what I can do ") + tool_call("run", arguments)])
    async with model.serve() as url, client(url) as c:
        stream = await c.chat.completions.create(
            **ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    said = [d.content for d in deltas if d.content]
    parts = [d.tool_calls[0] for d in deltas if d.tool_calls]
    assert len(said) > 1
    assert "".join(said) == "let me see what I can do "
    assert len(parts) > 2
    assert parts[0].id
    assert parts[0].function.name == "run"
    assert json.loads("".join(p.function.arguments for p in parts)) == arguments
    assert chunks[-1].usage.total_tokens > 0
    assert model.requests[0].finished


async def test_rules_win_over_turns_and_may_be_limited():
    model = ScriptedModel(
        [
            when("secret", text("found"), times=1),
            when(lambda r: bool(r.tool_results), lambda r: text(r.tool_results[-1])),
            text("turn"),
        ]
    )
    ask = {"model": "x", "messages": [{"role": "user", "content": "a secret"}]}
    done = {"model": "x", "messages": [{"role": "tool", "tool_call_id": "1", "content": "42"}]}
    async with model.serve() as url, httpx.AsyncClient(base_url=url) as c:
        answers = [
            (await c.post("/chat/completions", json=body)).json()["choices"][0]["message"]
            for body in (ask, done, ask)
        ]
    assert [a["content"] for a in answers] == ["found", "42", "turn"]


async def test_a_callable_is_a_script():
    model = ScriptedModel(lambda request: text(request.last_user.upper()))
    async with model.serve() as url, client(url) as c:
        answer = await c.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "HELLO THERE"


async def test_errors_and_the_end_of_the_script_are_told_in_openai_shape():
    model = ScriptedModel([error(429, "slow down")])
    async with model.serve() as url, client(url) as c:
        with pytest.raises(openai.RateLimitError, match="slow down"):
            await c.chat.completions.create(**ASK)
        with pytest.raises(openai.InternalServerError, match="no turn for request 2"):
            await c.chat.completions.create(**ASK)
    assert model.exhausted == 1


async def test_nonsense_is_not_a_completion():
    model = ScriptedModel([nonsense(b"\x00garbage")])
    async with model.serve() as url, httpx.AsyncClient(base_url=url) as c:
        answer = await c.post("/chat/completions", json=ASK)
    assert answer.status_code == 200
    assert answer.content == b"\x00garbage"


async def test_cut_breaks_the_stream():
    model = ScriptedModel([cut("a rather long text that is never sent whole", after=1)])
    async with model.serve() as url, httpx.AsyncClient(base_url=url) as c:
        with pytest.raises(httpx.RemoteProtocolError):
            await c.post("/chat/completions", json={**ASK, "stream": True})
    assert not model.requests[0].finished


async def test_hang_notices_that_the_client_left():
    model = ScriptedModel([hang()])
    async with model.serve() as url, httpx.AsyncClient(base_url=url) as c:
        with pytest.raises(httpx.ReadTimeout):
            await c.post("/chat/completions", json=ASK, timeout=0.1)
        async with asyncio.timeout(2):
            while not model.requests[0].disconnected:
                await asyncio.sleep(0.01)


async def test_a_client_that_leaves_a_stream_is_noticed():
    model = ScriptedModel([text("x" * 4000, delay=0.01)])
    async with model.serve() as url, httpx.AsyncClient(base_url=url) as c:
        body = {**ASK, "stream": True}
        async with c.stream("POST", "/chat/completions", json=body) as answer:
            await anext(answer.aiter_lines())
        async with asyncio.timeout(2):
            while not model.requests[0].disconnected:
                await asyncio.sleep(0.01)


async def test_a_wrong_key_is_refused_and_not_recorded():
    model = ScriptedModel([text("in")], api_key="right")
    async with model.serve() as url, client(url) as c:
        with pytest.raises(openai.AuthenticationError):
            await c.chat.completions.create(**ASK)
    assert model.requests == []


async def test_serves_on_a_unix_socket(tmp_path):
    model = ScriptedModel([text("hi")])
    path = str(tmp_path / "m.sock")
    transport = httpx.AsyncHTTPTransport(uds=path)
    async with model.serve(uds=path) as url, httpx.AsyncClient(transport=transport) as c:
        assert (await c.get(f"{url}/models")).json()["data"][0]["id"] == "scripted"
