"""A platform with agents of real frameworks over a scripted model, behind a real gateway."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from a2a_calls import V1, message, rpc

from codin.config import Settings
from codin.gateway.app import create_app
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.gateway.server import HttpServer
from codin.model import parse
from codin.security import LOCAL_USER
from codin.task import LogEvent, data_parts
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn

LANGGRAPH = """
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    from codin import wrap


    def build(tools):
        return create_agent(ChatOpenAI(model="any"), tools, system_prompt="You are {id}.")


    agent = wrap(build, framework="langgraph", id="{id}", description="{does}", tools={tools})
"""
ADK = """
    from google.adk.agents import LlmAgent
    from google.adk.integrations.openai import OpenAILlm

    from codin import wrap

    kit = LlmAgent(name="{id}", model=OpenAILlm(model="any"), instruction="You are {id}.")
    agent = wrap(kit, id="{id}", description="{does}", tools={tools})
"""
AGNO = """
    from agno.agent import Agent
    from agno.models.openai import OpenAIChat

    from codin import wrap

    agnostic = Agent(model=OpenAIChat(id="any"), instructions="You are {id}.")
    agent = wrap(agnostic, id="{id}", description="{does}", tools={tools})
"""
CREWAI = """
    from crewai import LLM, Agent

    from codin import wrap

    crew = Agent(
        role="{id}", goal="{does}", backstory="You are {id}.",
        llm=LLM(model="gpt-4o-mini", stream=True),
    )
    agent = wrap(crew, id="{id}", description="{does}", tools={tools})
"""


def source(
    folder: Path, template: str, agent_id: str, does: str, tools: Sequence[str] = ()
) -> dict[str, Any]:
    """An entry of the settings for an agent of a framework, whose file is written."""
    file = folder / f"{agent_id}.py"
    told = {"{id}": agent_id, "{does}": does, "{tools}": repr(list(tools))}
    text = textwrap.dedent(template)
    for name, value in told.items():
        text = text.replace(name, value)
    file.write_text(text)
    return {"source": str(file)}


@dataclass(frozen=True)
class Place:
    """A running platform, and what its model was asked."""

    platform: Platform
    model: ScriptedModel
    http: httpx.AsyncClient

    async def send(self, agent: str, text: str, **more: Any) -> dict[str, Any]:
        """The task of a message to an agent, once it has stopped."""
        body = rpc("SendMessage", {"message": message(text, **more)})
        answer = await self.http.post(f"/agents/{agent}", json=body, headers=V1)
        result: dict[str, Any] = answer.json()["result"]["task"]
        return result

    async def log(self, task: dict[str, Any]) -> list[LogEvent]:
        return await self.platform.log.read(LOCAL_USER, task["id"], 0, 100_000)


@asynccontextmanager
async def place(
    folder: Path, script: Callable[[RecordedRequest], Turn], settings: dict[str, Any]
) -> AsyncIterator[Place]:
    model = ScriptedModel(script)
    async with model.serve() as url:
        choice = parse("openai:scripted", {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"})
        made = Settings.model_validate({"home": folder / "home", **settings})
        async with (
            open_platform(made, choice) as platform,
            HttpServer(create_app(platform.parts()), port=0) as server,
            httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=120) as http,
        ):
            assert platform.problems == (), platform.problems
            yield Place(platform, model, http)


def texts(task: dict[str, Any]) -> list[str]:
    """The texts that a task gave, in order."""
    artifacts = task.get("artifacts", ())
    return [part["text"] for artifact in artifacts for part in artifact["parts"] if "text" in part]


def calls(log: Sequence[LogEvent]) -> list[tuple[str, str, str, str]]:
    """Who called whom, how, and what became of it: of a task's log, and those within it."""
    found = []
    for event in log:
        kind, body = event.kind, event.body
        while kind == "child":
            kind, body = body["kind"], body["body"]
        steps = data_parts(body) if kind == "status" else ()
        found += [
            (step["caller"], step["how"], step["agent"], step["state"])
            for step in steps
            if step.get("type") == "step"
        ]
    return found


def said(log: Sequence[LogEvent], kind: str) -> list[dict[str, Any]]:
    """The data of one kind that the task itself said."""
    own = [event.body for event in log if event.kind == "status"]
    return [one for body in own for one in data_parts(body) if one.get("type") == kind]
