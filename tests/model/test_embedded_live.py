"""The real embedded model: its process, its tool calling, and real frameworks before it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import httpx
import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from codin.model import CallContext, ChatMessage, MemoryMeter, ModelService, ModelUnavailable
from codin.model.catalog import embedded_choice
from codin.model.embedded import weights
from codin.model.embedded.llama import Llama
from codin.model.embedded.server import EmbeddedServer, ServerSettings, engine_installed
from codin.security import LOCAL_USER
from codin.testing.scripted_model import _listen, _quiet_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        weights.installed() is None or not engine_installed(),
        reason="the embedded model is not on this machine: codin model pull",
    ),
]

QUESTION = "How many inhabitants has the town of Aldmoor?"
CONTEXT = CallContext(LOCAL_USER, "task-1")
SMALL = ServerSettings(slots=2, context=2048, cache_mib=0)


def inhabitants(town: str) -> str:
    """The number of inhabitants of a town.

    Args:
        town: name of the town
    """
    return {"aldmoor": "48213"}.get(town.lower(), f"Error: no town is called {town}")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service() -> AsyncIterator[ModelService]:
    async with ModelService(embedded_choice(), MemoryMeter()) as service:
        await service.warm()
        yield service


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(service: ModelService) -> AsyncIterator[str]:
    async def authenticate(token: str) -> CallContext:
        assert token == "run-token"
        return CONTEXT

    sock, url = _listen(None)
    server = _quiet_server(service.proxy(authenticate))
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield url
    server.should_exit = server.force_exit = True
    await task


def right(answer: str) -> bool:
    return "48213" in answer.replace(",", "").replace(" ", "")


async def test_langgraph_calls_a_tool_and_answers(url):
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="default", base_url=url, api_key="run-token", max_retries=0)
    agent = create_agent(model, [tool(inhabitants)], system_prompt="You answer questions.")
    kinds, texts = [], []
    async for message, _ in agent.astream(
        {"messages": [{"role": "user", "content": QUESTION}]}, stream_mode="messages"
    ):
        kinds.append(type(message).__name__)
        texts.append(message.text if kinds[-1] == "AIMessageChunk" else "")
    assert "ToolMessage" in kinds
    assert right("".join(texts))


async def test_adk_calls_a_tool_and_answers(url):
    from google.adk.agents import LlmAgent
    from google.adk.agents.run_config import RunConfig, StreamingMode
    from google.adk.integrations.openai import OpenAILlm
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    model = OpenAILlm(model="default", base_url=url, api_key="run-token")
    agent = LlmAgent(
        name="teller", model=model, instruction="You answer questions.", tools=[inhabitants]
    )
    runner = InMemoryRunner(agent, app_name="app")
    session = await runner.session_service.create_session(app_name="app", user_id="u")
    called, answer = [], ""
    async for event in runner.run_async(
        user_id="u",
        session_id=session.id,
        new_message=types.Content(role="user", parts=[types.Part(text=QUESTION)]),
        run_config=RunConfig(streaming_mode=StreamingMode.SSE),
    ):
        if event.partial:
            continue
        called += [call.name for call in event.get_function_calls()]
        for part in (event.content.parts if event.content else None) or []:
            answer = part.text or answer
    assert called == ["inhabitants"]
    assert right(answer)


async def test_agno_calls_a_tool_and_answers(url):
    from agno.agent import Agent
    from agno.models.openai.like import OpenAILike

    model = OpenAILike(id="default", base_url=url, api_key="run-token")
    agent = Agent(model=model, instructions="You answer questions.", tools=[inhabitants])
    events = [event async for event in agent.arun(QUESTION, stream=True, stream_events=True)]
    names = [event.event for event in events]
    assert "ToolCallStarted" in names
    assert right(events[-1].content)


async def test_what_agents_used_is_metered(url, service):
    used = service.meter.usage("task-1")
    assert used
    assert all(usage.input_tokens > 0 and usage.output_tokens > 0 for usage in used)


class Verdict(BaseModel):
    language: Literal["english", "german", "french"]
    confident: bool


async def test_output_is_held_to_its_schema(service):
    ask = [ChatMessage("user", "Which language is this? 'Wie spät ist es?'")]
    verdict = await service.client.generate(ask, context=CONTEXT, output=Verdict, timeout=120)
    assert verdict.language == "german"


async def test_streams_text_as_it_comes(url):
    async with openai.AsyncOpenAI(base_url=url, api_key="run-token") as client:
        stream = await client.chat.completions.create(
            model="x", messages=[{"role": "user", "content": "Count from 1 to 9."}], stream=True
        )
        pieces = [c.choices[0].delta.content async for c in stream if c.choices]
    assert len([piece for piece in pieces if piece]) > 5
    assert "7" in "".join(piece or "" for piece in pieces)


async def test_a_repeated_prompt_is_found_in_the_cache(service):
    body = {"messages": [{"role": "user", "content": "Name a colour. " * 60}], "max_tokens": 3}
    first = (await service.upstream.complete(body))["usage"]
    again = (await service.upstream.complete(body))["usage"]
    assert first["prompt_tokens"] == again["prompt_tokens"] > 200
    assert again["prompt_tokens_details"]["cached_tokens"] > 200


async def test_a_client_that_leaves_frees_the_model(url, service):
    body = {"messages": [{"role": "user", "content": "Write a very long story."}], "stream": True}
    headers = {"Authorization": "Bearer run-token"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        for _ in range(service.upstream.server.settings.slots + 1):
            async with client.stream("POST", f"{url}/chat/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    if '"content": "' in line:
                        break
    # Every slot was taken by a story of 768 tokens; this would wait for one of them.
    async with asyncio.timeout(30):
        short = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 3}
        await service.upstream.complete(short)


async def test_a_prompt_that_is_too_long_is_refused(url):
    async with openai.AsyncOpenAI(base_url=url, api_key="run-token", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError, match="cannot take that much text"):
            await client.chat.completions.create(
                model="x", messages=[{"role": "user", "content": "words " * 9000}]
            )


async def test_a_killed_model_comes_back():
    server = EmbeddedServer(settings=SMALL)
    llama = Llama(server)
    try:
        await llama.complete("One, two,", n_predict=2)
        first = server.pid
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ModelUnavailable, match="starts it again"):
            await llama.complete("One, two,", n_predict=2)
        assert (await llama.complete("One, two,", n_predict=2)).text
        assert server.pid not in (None, first)
    finally:
        await llama.aclose()
        await server.aclose()
    assert server.pid is None


async def test_the_socket_is_closed_to_others():
    server = EmbeddedServer(settings=SMALL)
    try:
        endpoint = await server.ready()
        folder = Path(endpoint.socket).parent
        assert folder.stat().st_mode & 0o077 == 0
        transport = httpx.AsyncHTTPTransport(uds=endpoint.socket)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.post("/completion", json={"prompt": "hi", "n_predict": 1})
        assert answer.status_code == 401
        arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert endpoint.key.encode() not in arguments
    finally:
        await server.aclose()
    assert not folder.exists()


PARENT = """
import asyncio, json
from codin.model.embedded.server import EmbeddedServer, ServerSettings
async def main():
    server = EmbeddedServer(settings=ServerSettings(slots=1, context=512, cache_mib=0))
    started = asyncio.create_task(server.ready())
    while server.pid is None:
        await asyncio.sleep(0.01)
    print(json.dumps(server.pid), flush=True)
    await started
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize("loaded", [False, True])
async def test_the_model_dies_with_the_platform(loaded):
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        pid = json.loads(await asyncio.to_thread(parent.stdout.readline))
        if loaded:
            await asyncio.to_thread(parent.stdout.readline)
        else:
            await asyncio.sleep(1)
        parent.kill()
        async with asyncio.timeout(10):
            while await asyncio.to_thread(running, pid):
                await asyncio.sleep(0.05)


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_a_model_that_cannot_be_loaded_is_told(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and no more")
    server = EmbeddedServer(broken, SMALL)
    with pytest.raises(ModelUnavailable, match="did not start"):
        await server.ready()
    assert server.pid is None
    with pytest.raises(ModelUnavailable, match="codin model pull"):
        await EmbeddedServer(tmp_path / "none.gguf").ready()
    await server.aclose()
    with pytest.raises(ModelUnavailable, match="closed"):
        await server.ready()
