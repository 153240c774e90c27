"""Agents of real frameworks that have more tools than they are shown."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codin.agent import Agent, wrap
from codin.agent.events import Completed, TextFinal, ToolResult
from codin.runtime.local import LocalRuntime
from codin.sandbox.local import LocalSandboxProvider
from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer, RunGrant
from codin.testing.agent_conformance import collect, of, task_for
from codin.testing.scripted_model import ScriptedModel, text, tool_call
from codin.tool import (
    FunctionTool,
    GoalSandboxes,
    ToolExecutor,
    ToolRegistry,
    Workspaces,
)

pytestmark = pytest.mark.slow


def langgraph(url: str) -> Agent:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="x", api_key="k", base_url=url, max_retries=0)
    return wrap(lambda tools: create_agent(model, tools), framework="langgraph", id="one")


def adk(url: str) -> Agent:
    from google.adk.agents import LlmAgent
    from google.adk.integrations.openai import OpenAILlm
    from openai import AsyncOpenAI

    model = OpenAILlm(model="x", client=AsyncOpenAI(api_key="k", base_url=url, max_retries=0))
    return wrap(LlmAgent(name="worker", model=model, instruction="Help."))


def agno(url: str) -> Agent:
    from agno.agent import Agent as AgnoAgent
    from agno.models.openai.like import OpenAILike

    return wrap(AgnoAgent(name="one", model=OpenAILike(id="x", api_key="k", base_url=url)))


def pydantic_ai(url: str) -> Agent:
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=url, api_key="k")
    return wrap(PydanticAgent(OpenAIChatModel("x", provider=provider), name="one"))


def openai_agents(url: str) -> Agent:
    from agents import Agent as OpenAIAgent
    from agents import OpenAIChatCompletionsModel
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="k", base_url=url, max_retries=0)
    model = OpenAIChatCompletionsModel(model="x", openai_client=client)
    return wrap(OpenAIAgent(name="one", model=model))


async def send(to: dict[str, list[str]], words: str = "hello", level: int = 0) -> str:
    """Send words to people."""
    return f"{words} to {to['people']} at {level}"


def made(number: int) -> FunctionTool:
    return FunctionTool.from_function(send, name=f"mail_send_{number}", trusted=True)


@pytest.mark.parametrize("make", [langgraph, adk, agno, pydantic_ai, openai_agents])
async def test_it_finds_one_and_calls_it(make: Callable[[str], Agent], tmp_path: Path) -> None:
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    assert registry.replace("mail", [made(number) for number in range(60)]) == ()
    provider = LocalSandboxProvider()
    executor = ToolExecutor(
        registry,
        runtime=LocalRuntime(provider),
        sandboxes=GoalSandboxes(provider, Workspaces(tmp_path)),
    )
    grant = RunGrant(
        "t", "t", "c", "one", LOCAL_USER, frozenset({"mail_*"}), expires_at=time.time() + 60
    )
    inner: dict[str, Any] = {"to": {"people": ["ann", "bob"]}, "level": 2}
    model = ScriptedModel(
        [
            tool_call("find_tools", {"query": "mail_send_41"}),
            tool_call("call_tool", {"name": "mail_send_41", "arguments": inner}),
            text("Sent."),
        ]
    )
    async with model.serve() as url:
        task = replace(task_for("Tell them."), tools=tuple(executor.bind(grant)))
        events = await collect(make(url), task)
    assert sorted(model.requests[0].tools) == ["call_tool", "describe_tool", "find_tools"]
    found, sent = of(events, ToolResult)
    assert not found.is_error
    assert "mail_send_41" in model.requests[1].tool_results[0]
    assert (sent.is_error, sent.content) == (False, "hello to ['ann', 'bob'] at 2")
    assert of(events, TextFinal)[-1].text == "Sent."
    assert isinstance(events[-1], Completed)
