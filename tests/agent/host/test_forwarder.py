"""A model request inside a host goes to the platform with the token of its own run."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import openai
import pytest

from codin.agent.host.attribution import RUN_HEADER, mark_model_requests
from codin.agent.host.environment import PLACEHOLDER_KEY, prepare_environment
from codin.agent.host.forwarder import forwarder_app
from codin.agent.host.platform_client import platform_http
from codin.agent.host.runs import ActiveRuns
from codin.agent.host.server import Server
from codin.sandbox.network import proxy_environment
from codin.testing.scripted_model import ScriptedModel, Turn, hang, text

pytestmark = pytest.mark.slow


@pytest.fixture
async def inside(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SimpleNamespace]:
    """A forwarder on loopback, and a scripted model where the platform would be."""
    for library in (httpx, httpx2):
        for client in (library.Client, library.AsyncClient):
            monkeypatch.setattr(client, "send", client.send)  # so that marking is undone
    loopback = socket.socket()
    loopback.bind(("127.0.0.1", 0))
    port = loopback.getsockname()[1]
    environ: dict[str, str] = {"HTTPS_PROXY": "http://10.0.0.1:3128"}
    prepare_environment(environ, port)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    mark_model_requests(port)
    runs = ActiveRuns()
    model = ScriptedModel(lambda request: text("hello"))
    async with (
        model.serve(uds=str(short_dir / "platform.sock")),
        platform_http(str(short_dir / "platform.sock")) as http,
    ):
        server = Server(forwarder_app(http, runs))
        serving = asyncio.create_task(server.serve(sockets=[loopback]))
        while not server.started:
            await asyncio.sleep(0.005)
        url = f"http://127.0.0.1:{port}/v1"
        yield SimpleNamespace(url=url, runs=runs, model=model, environ=environ)
        server.should_exit = True
        await serving
    loopback.close()


HI: Any = [{"role": "user", "content": "hi"}]


def tokens_of(model: ScriptedModel) -> list[str]:
    return [request.headers["authorization"] for request in model.requests]


async def ask() -> str:
    async with openai.AsyncOpenAI(max_retries=0) as client:
        answer = await client.chat.completions.create(model="m", messages=HI)
    return answer.choices[0].message.content or ""


async def test_runs_side_by_side_keep_their_tokens_apart(inside: SimpleNamespace) -> None:
    both = asyncio.Barrier(3)

    async def run(token: str) -> str:
        with inside.runs.entered("task", token):
            await both.wait()
            answer = await ask()
            await both.wait()
            return answer

    answers = await asyncio.gather(run("one"), run("two"), run("three"))
    assert answers == ["hello"] * 3
    assert sorted(tokens_of(inside.model)) == ["Bearer one", "Bearer three", "Bearer two"]


async def test_a_thread_with_the_runs_context_is_the_runs(inside: SimpleNamespace) -> None:
    def in_thread() -> str:
        with openai.OpenAI(max_retries=0) as client:
            answer = client.chat.completions.create(model="m", messages=HI)
        return answer.choices[0].message.content or ""

    other = asyncio.create_task(hold(inside.runs, "other"))
    await asyncio.sleep(0)
    with inside.runs.entered("task", "mine"):
        assert await asyncio.to_thread(in_thread) == "hello"
    other.cancel()
    assert tokens_of(inside.model) == ["Bearer mine"]


async def hold(runs: ActiveRuns, token: str) -> None:
    with runs.entered("task", token):
        await asyncio.sleep(60)


async def test_a_stream_passes_as_it_comes(inside: SimpleNamespace) -> None:
    with inside.runs.entered("task", "t"):
        async with openai.AsyncOpenAI(max_retries=0) as client:
            stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == "hello"
    assert inside.model.requests[0].stream


async def test_no_placeholder_and_no_run_name_reach_the_platform(inside: SimpleNamespace) -> None:
    with inside.runs.entered("task", "t"):
        async with httpx.AsyncClient() as client:
            await client.post(
                f"{inside.url}/chat/completions?key={PLACEHOLDER_KEY}",
                json={"messages": []},
                headers={"x-api-key": PLACEHOLDER_KEY, "x-goog-api-key": PLACEHOLDER_KEY},
            )
    headers = inside.model.requests[0].headers
    assert PLACEHOLDER_KEY not in str(headers)
    assert RUN_HEADER not in headers


async def test_a_request_of_no_run_is_refused_in_one_sentence(inside: SimpleNamespace) -> None:
    with pytest.raises(openai.AuthenticationError, match="no run is under way"):
        await ask()
    assert inside.model.requests == []


async def test_without_a_mark_the_only_run_is_meant(inside: SimpleNamespace) -> None:
    nowhere = copy_context()
    holding = asyncio.create_task(hold(inside.runs, "only"))
    await asyncio.sleep(0)
    assert await nowhere.run(asyncio.create_task, ask()) == "hello"
    second = asyncio.create_task(hold(inside.runs, "second"))
    await asyncio.sleep(0)
    with pytest.raises(openai.AuthenticationError, match="2 runs are under way"):
        await nowhere.run(asyncio.create_task, ask())
    for task in (holding, second):
        task.cancel()
    assert tokens_of(inside.model) == ["Bearer only"]


async def test_a_run_that_has_ended_has_no_model(inside: SimpleNamespace) -> None:
    holding = asyncio.create_task(hold(inside.runs, "other"))
    with inside.runs.entered("task", "t"):
        late = copy_context()
    await asyncio.sleep(0)
    with pytest.raises(openai.AuthenticationError, match="has ended"):
        await late.run(asyncio.create_task, ask())
    holding.cancel()


async def test_only_the_models_are_behind_it(inside: SimpleNamespace) -> None:
    root = inside.url.removesuffix("/v1")
    with inside.runs.entered("task", "t"):
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{root}/tools")).status_code == 404
            assert (await client.post(f"{root}/logs", json={})).status_code == 404
            assert (await client.get(f"{root}/v1/%2e%2e/tools")).status_code in (400, 404)
    assert inside.model.requests == []


async def test_an_agent_that_leaves_ends_the_request_upstream(inside: SimpleNamespace) -> None:
    inside.model._callable = lambda request: hang()
    with inside.runs.entered("task", "t"):
        asking = asyncio.create_task(ask())
        while not inside.model.requests:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(5):
        while not inside.model.requests[0].disconnected:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("turn", [hang(), text("word " * 2000, delay=0.02)])
async def test_a_run_that_is_ended_asks_no_model_any_more(
    inside: SimpleNamespace, turn: Turn
) -> None:
    """Also in a thread that nothing else can stop."""
    inside.model._callable = lambda request: turn

    def in_thread() -> int:
        with openai.OpenAI(max_retries=2) as client:
            return len(list(client.chat.completions.create(model="m", messages=HI, stream=True)))

    with inside.runs.entered("task", "t"):
        asking = asyncio.create_task(asyncio.to_thread(in_thread))
        while not inside.model.requests:
            await asyncio.sleep(0.01)
        inside.runs.end("another task")
        await asyncio.sleep(0.1)
        assert not asking.done()
        inside.runs.end("task")
        async with asyncio.timeout(5):
            with pytest.raises((openai.APIError, httpx.HTTPError, httpx2.HTTPError)):
                await asking
            while not inside.model.requests[0].disconnected:
                await asyncio.sleep(0.01)
    assert len(inside.model.requests) == 1


async def test_a_platform_that_is_gone_is_said(short_dir: Path) -> None:
    runs = ActiveRuns()
    async with platform_http(str(short_dir / "nobody.sock")) as http:
        transport = httpx.ASGITransport(forwarder_app(http, runs))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            with runs.entered("task", "t"):
                answer = await client.post("/v1/chat/completions", json={})
    assert answer.status_code == 502
    assert "did not answer" in answer.json()["error"]["message"]


def test_the_sandboxs_own_proxy_stays() -> None:
    environ = dict(proxy_environment())
    prepare_environment(environ, 1234)
    assert environ["HTTPS_PROXY"] == environ["https_proxy"] == "http://127.0.0.1:3128"
    assert "127.0.0.1" in environ["NO_PROXY"].split(",")


def test_provider_proxies_are_taken_out_of_the_environment() -> None:
    environ = {"HTTPS_PROXY": "x", "https_proxy": "x", "OPENAI_API_KEY": "sk-real", "LANG": "C"}
    prepare_environment(environ, 1234)
    assert "HTTPS_PROXY" not in environ
    assert "https_proxy" not in environ
    assert environ["OPENAI_API_KEY"] == PLACEHOLDER_KEY
    assert environ["OPENAI_BASE_URL"] == "http://127.0.0.1:1234/v1"
    assert environ["LANG"] == "C"


def test_a_client_library_imported_later_is_marked_too() -> None:
    code = """
import sys
from codin.agent.host.attribution import mark_model_requests
assert "httpx2" not in sys.modules and "httpx" not in sys.modules
mark_model_requests(1)
import httpx2, httpx
assert hasattr(httpx2.AsyncClient.send, "__wrapped__")
assert hasattr(httpx.Client.send, "__wrapped__")
assert not [f for f in sys.meta_path if type(f).__module__.startswith("codin")]
assert httpx2.__spec__.loader.get_filename() == httpx2.__file__
"""
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=60)
