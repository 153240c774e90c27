"""Agents of every framework, held to the same suite with their real clients."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from codin.agent import Agent, Task, wrap
from codin.testing.a2a_server import A2AServer
from codin.testing.agent_conformance import AgentConformance
from codin.tool.base import Tool, ToolError

pytestmark = pytest.mark.slow


class TestFunction(AgentConformance):
    bounds_itself = False

    async def make(self, base_url: str) -> Agent:
        async def chat(task: Task) -> AsyncIterator[Any]:
            """A small loop of its own over the OpenAI client."""
            async for piece in _chat(base_url, task):
                yield piece

        return wrap(chat)


class TestLangGraph(AgentConformance):
    async def make(self, base_url: str) -> Agent:
        from langchain.agents import create_agent
        from langchain_openai import ChatOpenAI

        def graph(tools: list[Any]) -> Any:
            model = ChatOpenAI(
                model="x", api_key="k", base_url=base_url, stream_usage=True, max_retries=0
            )
            return create_agent(model, tools)

        return wrap(graph, framework="langgraph")


class TestAdk(AgentConformance):
    async def make(self, base_url: str) -> Agent:
        from google.adk.agents import LlmAgent
        from google.adk.integrations.openai import OpenAILlm
        from openai import AsyncOpenAI

        client = AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0)
        model = OpenAILlm(model="x", client=client)
        return wrap(LlmAgent(name="worker", model=model, instruction="Help."))


class TestAgno(AgentConformance):
    async def make(self, base_url: str) -> Agent:
        from agno.agent import Agent as AgnoAgent
        from agno.models.openai import OpenAILike

        model = OpenAILike(id="x", api_key="k", base_url=base_url, max_retries=0)
        return wrap(AgnoAgent(name="Worker", model=model, instructions="Help."))


class TestRemote(AgentConformance):
    """The LangGraph agent again, behind an A2A server."""

    takes_history = False

    @pytest.fixture(autouse=True)
    async def _servers(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as self.stack:
            yield

    async def make(self, base_url: str) -> Agent:
        return await self._served(await TestLangGraph().make(base_url))

    async def make_bounded(self, base_url: str) -> Agent:
        return await self._served(await TestLangGraph().make_bounded(base_url))

    async def _served(self, agent: Agent) -> Agent:
        server = _ToolsByMessage(agent)
        url = await self.stack.enter_async_context(server.serve())
        remote = wrap(url)
        handle = remote.handle

        async def handing_over(task: Task) -> Any:
            # What is at the other end has tools of its own; here it gets those of the test.
            server.by_message[task.message.message_id] = task.tools
            return await handle(task)

        remote.handle = handing_over  # type: ignore[method-assign]
        return remote


class _ToolsByMessage(A2AServer):
    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self.by_message: dict[str, tuple[Tool, ...]] = {}

    def _task(self, context: Any) -> Task:
        task = super()._task(context)
        return replace(task, tools=self.by_message.get(task.message.message_id, ()))


async def _chat(base_url: str, task: Task) -> AsyncIterator[Any]:
    from openai import AsyncOpenAI

    from codin.agent.adapters._run import past, prompt
    from codin.agent.events import Usage

    said = [*past(task), ("user", prompt(task.message))]
    messages: list[Any] = [{"role": role, "content": text} for role, text in said]
    tools: list[Any] = [
        {"type": "function", "function": {"name": t.name, "parameters": t.spec.input_schema}}
        for t in task.tools
    ]
    async with AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0) as client:
        while True:
            calls: dict[int, Any] = {}
            options: dict[str, Any] = {"tools": tools} if tools else {}
            stream = await client.chat.completions.create(
                model="x",
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
            async with stream:
                async for chunk in stream:
                    if chunk.usage:
                        used = chunk.usage
                        yield Usage(
                            input_tokens=used.prompt_tokens, output_tokens=used.completion_tokens
                        )
                    for choice in chunk.choices:
                        if choice.delta.content:
                            yield choice.delta.content
                        for part in choice.delta.tool_calls or []:
                            call = calls.setdefault(part.index, {"id": "", "name": "", "text": ""})
                            call["id"] = part.id or call["id"]
                            call["name"] = part.function.name or call["name"]
                            call["text"] += part.function.arguments or ""
            if not calls:
                return
            wire = [
                {
                    "id": c["id"],
                    "type": "function",
                    "function": {"name": c["name"], "arguments": c["text"]},
                }
                for c in calls.values()
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": wire})
            for call in calls.values():
                content = await _call(task, call)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})


async def _call(task: Task, call: dict[str, Any]) -> str:
    named = {tool.name: tool for tool in task.tools}
    if call["name"] not in named:
        return f"there is no tool {call['name']}"
    try:
        arguments = json.loads(call["text"])
    except ValueError:
        return "the arguments are no JSON"
    try:
        return json.dumps(await named[call["name"]].invoke(**arguments))
    except (ToolError, ArithmeticError) as error:
        return str(error)
