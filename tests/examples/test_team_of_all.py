"""examples/team-of-all: agents of all frameworks, started by one command, solve a goal together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from codin.agent.a2a import user_message
from codin.agent.frameworks import FRAMEWORKS
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn, text, tool_call

pytestmark = pytest.mark.slow

TEAM = Path(__file__).parents[2] / "examples" / "team-of-all"
AGENTS = {
    "langgraph": "LangGraph",
    "adk": "ADK",
    "agno": "Agno",
    "pydantic-ai": "Pydantic AI",
    "openai-agents": "OpenAI Agents",
    "agent-framework": "Agent Framework",
    "crewai": "CrewAI",
    "strands": "Strands",
    "llama-index": "LlamaIndex",
    "autogen": "AutoGen",
    "smolagents": "smolagents",
}
CODE = re.compile(r"code-[0-9a-f]{8}")
START_SECONDS = 600.0


def answer(request: RecordedRequest) -> Turn:
    """Gives the clerk the goal; signs in once, and tells the code."""
    if "The team:" in request.system:
        step = {"instruction": "Have everybody sign in.", "agent": "clerk", "needs": []}
        return text(json.dumps({"steps": [step], "reason": "it knows all of them"}))
    told = CODE.findall(" ".join([*request.tool_results, request.last_user]))
    if not told:
        return tool_call("sign_in", {"name": "one of the team"})
    if "final_answer" in request.tools:
        return tool_call("final_answer", {"answer": told[-1]})
    return text(f"My code is {told[-1]}.")


@asynccontextmanager
async def up(home: Path, model_url: str) -> AsyncIterator[str]:
    """`codin up` with the team; its address once it serves, and its end."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "codin", "up", "--port", "0", "--model", "openai:scripted"),
        *("--config", str(TEAM / "codin.toml")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **env,
            "CODIN_HOME": str(home),
            "OPENAI_BASE_URL": model_url,
            "OPENAI_API_KEY": "none",
        },
    )
    said = ""
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
                line = (await process.stdout.readline()).decode()
                assert line, f"it ended: {said}"
                said += line
        yield found.group()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        rest, _ = await asyncio.wait_for(process.communicate(), 60)
        print(said, rest.decode())


async def test_agents_of_eleven_frameworks_solve_a_goal_together(tmp_path: Path) -> None:
    model = ScriptedModel(answer)
    async with (
        model.serve() as url,
        up(tmp_path, url) as gateway,
        httpx.AsyncClient(base_url=gateway, trust_env=False, timeout=300) as http,
    ):
        listed = await agents_at(gateway)
        task = await solved(http, "Have everybody sign in, and list all codes.")
        given = await codes_given(http, task["id"])
    assert set(AGENTS) <= set(listed)
    assert {listed[name]["framework"] for name in AGENTS} == set(FRAMEWORKS)
    for name in AGENTS:
        row = listed[name]
        assert row["version"], row
        assert (row["isolation"], row["state"]) == ("host", "ready"), row
        assert row["address"] == f"{gateway}/agents/{name}/", row
    own = {name for name in AGENTS if listed[name]["environment"] != "current"}
    assert own == {"crewai", "strands", "llama-index", "autogen", "smolagents"}
    assert set(given) == set(AGENTS), "each has called the tool itself"
    assert len(set(given.values())) == len(AGENTS), "each code is another"
    said = "\n".join(p.get("text", "") for a in task["artifacts"] for p in a["parts"])
    assert set(CODE.findall(said)) == set(given.values())


async def agents_at(gateway: str) -> dict[str, dict[str, Any]]:
    """What `codin agents` tells of each."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "codin", "agents", "--url", gateway, "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    rows = [json.loads(line) for line in said.splitlines()]
    return {row["id"]: row for row in rows}


async def solved(http: httpx.AsyncClient, goal: str) -> dict[str, Any]:
    """The task of a goal, once it has ended."""
    from google.protobuf.json_format import MessageToDict

    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "SendMessage",
        "params": {"message": MessageToDict(user_message(goal))},
    }
    reply = (await http.post("/", json=body, headers={"A2A-Version": "1.0"})).json()
    task: dict[str, Any] = reply["result"]["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED", task["status"]
    return task


async def events(http: httpx.AsyncClient, task_id: str) -> list[dict[str, Any]]:
    """The goal's log, with what its agents' logs say."""
    async with http.stream("GET", f"/api/tasks/{task_id}/events") as stream:
        lines = [line[6:] async for line in stream.aiter_lines() if line.startswith("data: ")]
    return [event for event in map(json.loads, lines) if "kind" in event]


async def codes_given(http: httpx.AsyncClient, task_id: str) -> dict[str, str]:
    """The code that the tool gave to each agent, as the records of the calls tell it."""
    given = {}
    for agent, task in called(await events(http, task_id)).items():
        calls = [event["body"] for event in await events(http, task) if event["kind"] == "call"]
        ends = [call for call in calls if call["type"] == "finished"]
        if agent in AGENTS:
            (given[agent],) = {code for end in ends for code in CODE.findall(json.dumps(end))}
    return given


def called(log: list[dict[str, Any]]) -> dict[str, str]:
    """The task of each agent that was called, however deep."""
    found = {}
    for event in log:
        body = event["body"]
        kind = event["kind"]
        while kind == "child":
            found[body["agent"]] = body["task_id"]
            kind, body = body["kind"], body["body"]
    return found
