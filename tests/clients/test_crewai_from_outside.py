"""Clients of others talk to an agent of CrewAI that `codin up` serves from a host with packages of
its own: Google ADK's RemoteA2aAgent and the JavaScript SDK."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from js_client import stream

from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn, text, tool_call

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

READY_SECONDS = 240.0
CREW = """
from crewai import LLM, Agent, Crew, Task

from codin import wrap

crew = wrap(
    Agent(
        role="Adder",
        goal="Add numbers with your tool.",
        backstory="You add numbers.",
        llm=LLM(model="gpt-4o-mini", stream=True),
    ),
    id="crew",
    description="Adds numbers.",
    tools=["add"],
)
planner = Agent(
    role="Planner",
    goal="Plan trips.",
    backstory="You plan trips.",
    llm=LLM(model="gpt-4o-mini", stream=True),
)
plan = Task(
    description="Plan a trip: {topic}",
    expected_output="A line.",
    agent=planner,
    human_input=True,
)
trips = wrap(Crew(agents=[planner], tasks=[plan]), id="trips", description="Plans trips.")
"""
ADDING = """
from codin import tool

@tool
def add(a: int, b: int) -> int:
    \"\"\"Add two numbers.\"\"\"
    return a + b
"""
SETTINGS = """
home = "home"
model = "openai:scripted"
tools = ["adding.py"]

[[agents]]
source = "crew.py"
requirements = ["crewai>=1.15.30"]
"""


def answer(request: RecordedRequest) -> Turn:
    """Adds what it is told to with the tool, and says what came of it; plans trips to Paris."""
    if "You plan trips." in request.system:
        return text("A trip to Paris." if "Paris" in request.text else "Which city?")
    if not request.tool_results:
        a, b = (int(word) for word in request.last_user.split() if word.isdigit())
        return tool_call("add", {"a": a, "b": b})
    [number] = re.findall(r"\d+", request.tool_results[-1])
    return text(f"The sum is {number}.")


@dataclass
class Crew:
    url: str
    model: ScriptedModel

    @property
    def trips(self) -> str:
        """The URL of the crew that asks whoever talks to it."""
        return self.url.replace("/crew/", "/trips/")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crew(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crew]:
    """The agent, served by `codin up`."""
    folder = tmp_path_factory.mktemp("crew")
    for name, content in (("crew.py", CREW), ("adding.py", ADDING), ("codin.toml", SETTINGS)):
        (folder / name).write_text(content)
    model = ScriptedModel(answer)
    async with model.serve() as model_url:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "codin", "up", "--port", "0"),
            cwd=folder,
            env={**kept, "OPENAI_API_KEY": "sk-scripted", "OPENAI_BASE_URL": model_url},
            stdout=asyncio.subprocess.PIPE,
            stderr=(folder / "log").open("wb"),
        )
        try:
            yield Crew(await address(process, folder / "log"), model)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), 30)


async def address(process: asyncio.subprocess.Process, log: Path) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(READY_SECONDS):
        said = (await process.stdout.readline()).decode()
    urls = [word for word in said.split() if word.startswith("http")]
    assert urls, said + log.read_text()[-4000:]
    return f"{urls[0].rstrip('/')}/agents/crew/"


def told(kind: str, parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The one event of this kind among data parts."""
    (event,) = [part for part in parts if part.get("type") == kind]
    return event


async def test_adk_talks_to_it(crew: Crew) -> None:
    from google.adk.agents.remote_a2a_agent import RemoteA2aAgent
    from google.adk.runners import Runner
    from google.adk.sessions import InMemorySessionService

    far = RemoteA2aAgent(name="crew", agent_card=f"{crew.url}.well-known/agent-card.json")
    sessions = InMemorySessionService()
    runner = Runner(app_name="outside", agent=far, session_service=sessions)
    session = await sessions.create_session(app_name="outside", user_id="u")

    events = await said_to(runner, session.id, "add 2 and 40")
    texts = texts_of(events)
    assert "".join(texts[:-1]) == texts[-1] == "The sum is 42."  # as it is written, and whole
    data = list(data_of(events))
    call, result = told("tool_call", data), told("tool_result", data)
    assert (call["name"], call["arguments"]) == ("add", {"a": 2, "b": 40})
    assert (result["call_id"], result["content"]) == (call["call_id"], 42)

    asked = len(crew.model.requests)
    await said_to(runner, session.id, "add 3 and 4")
    # ADK names the context that it was given, and the agent knows what was said there.
    assert "The sum is 42." in crew.model.requests[asked].text


async def test_adk_answers_what_it_asks(crew: Crew) -> None:
    from google.adk.agents.remote_a2a_agent import RemoteA2aAgent
    from google.adk.runners import Runner
    from google.adk.sessions import InMemorySessionService

    far = RemoteA2aAgent(name="trips", agent_card=f"{crew.trips}.well-known/agent-card.json")
    sessions = InMemorySessionService()
    runner = Runner(app_name="outside", agent=far, session_service=sessions)
    session = await sessions.create_session(app_name="outside", user_id="u")
    asked = await said_to(runner, session.id, "somewhere warm")
    assert state_of(asked) == "TASK_STATE_INPUT_REQUIRED"
    assert "Which city?" in texts_of(asked)[-1]
    done = await said_to(runner, session.id, "Paris")
    assert state_of(done) == "TASK_STATE_COMPLETED"
    assert texts_of(done)[-1] == "A trip to Paris."


def state_of(events: Sequence[Any]) -> str:
    """The state that ADK last heard of the task."""
    told = [(event.custom_metadata or {}).get("a2a:response", {}) for event in events]
    states: list[str] = [one["status"]["state"] for one in told if "status" in one]
    return states[-1]


async def said_to(runner: Any, session_id: str, words: str) -> list[Any]:
    from google.genai import types

    said = types.Content(role="user", parts=[types.Part(text=words)])
    stream = runner.run_async(user_id="u", session_id=session_id, new_message=said)
    events = [event async for event in stream]
    assert [event.error_message for event in events if event.error_message] == []
    return events


def parts_of(event: Any) -> list[Any]:
    return (event.content.parts if event.content else None) or []


def texts_of(events: Iterable[Any]) -> list[str]:
    return [part.text for event in events for part in parts_of(event) if part.text]


def data_of(events: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The data parts that ADK got: it keeps each as bytes between two tags."""
    for event in events:
        for part in parts_of(event):
            if part.inline_data:
                kept = part.inline_data.data.decode()
                yield json.loads(kept[kept.index(">") + 1 : kept.rindex("<")])


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_javascript_client_talks_to_it(crew: Crew, binding: str) -> None:
    lines = await stream(crew.url, binding, "add 3 and 4")
    assert lines[0]["event"]["payload"]["$case"] == "task"
    task = lines.pop()["task"]
    assert task["status"]["state"] == 3  # TASK_STATE_COMPLETED
    (artifact,) = task["artifacts"]
    assert [part["content"]["value"] for part in artifact["parts"]] == ["The sum is 7."]
    updates = [line["event"]["payload"] for line in lines]
    data = [
        part["content"]["value"]
        for update in updates
        if update["$case"] == "statusUpdate"
        for part in update["value"]["status"].get("message", {}).get("parts", [])
        if part["content"]["$case"] == "data"
    ]
    call, result = told("tool_call", data), told("tool_result", data)
    assert (call["name"], call["arguments"]) == ("add", {"a": 3, "b": 4})
    assert (result["call_id"], result["content"]) == (call["call_id"], 7)
    written = [
        part["content"]["value"]
        for update in updates
        if update["$case"] == "artifactUpdate" and not update["value"]["lastChunk"]
        for part in update["value"]["artifact"]["parts"]
    ]
    assert "".join(written) == "The sum is 7."


async def test_the_javascript_client_answers_what_it_asks(crew: Crew) -> None:
    asked = (await stream(crew.trips, "JSONRPC", "somewhere warm")).pop()["task"]
    assert asked["status"]["state"] == 6  # TASK_STATE_INPUT_REQUIRED
    assert "Which city?" in json.dumps(asked["status"]["message"])
    done = (await stream(crew.trips, "JSONRPC", "Paris", asked["id"])).pop()["task"]
    assert (done["id"], done["status"]["state"]) == (asked["id"], 3)  # TASK_STATE_COMPLETED
    assert done["artifacts"][-1]["parts"][0]["content"]["value"] == "A trip to Paris."
