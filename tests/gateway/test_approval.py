"""Calls that policy wants approved, by agents of every framework, each in a host of its own."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from coordination_place import Place, place, said, texts

from codin.testing.scripted_model import RecordedRequest, Turn, text, tool_call

pytestmark = pytest.mark.slow

TEAM = Path(__file__).parents[2] / "examples" / "team-of-all"
CODE = re.compile(r"code-[0-9a-f]{8}")


def script(request: RecordedRequest) -> Turn:
    """Signs in twice, the second time under a name that has to be approved, and tells the codes."""
    words = str(request.messages)
    codes = list(dict.fromkeys(CODE.findall(words)))
    if not codes:
        return tool_call("sign_in", {"name": "first"})
    if len(codes) == 1 and "not approved" not in words:
        return tool_call("sign_in", {"name": "second"})
    answer = f"My codes are {', '.join(codes)}."
    if "final_answer" in request.tools:
        return tool_call("final_answer", {"answer": answer})
    return text(answer)


def settings() -> dict[str, Any]:
    with (TEAM / "codin.toml").open("rb") as file:
        agents = tomllib.load(file)["agents"]
    policy = {"tool": "sign_in", "effect": "ask", "argument": "name", "in": ["second"]}
    return {
        "agents": [
            {**one, "source": str(TEAM / one["source"])}
            for one in agents
            if one["source"] != "clerk.py"
        ],
        "tools": [TEAM / "tools.py"],
        "policies": [policy],
        # The script looks for codes in all that a model is told.
        "memory": {"recall": {"enabled": False}},
    }


async def answered(there: Place, agent: str, answer: str) -> tuple[dict[str, Any], list[str]]:
    """The task of the agent, which asked once, and how its calls ended."""
    task = await there.send(agent, "Sign in twice.")
    assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED", (agent, task)
    prompt = task["status"]["message"]["parts"][0]["text"]
    assert 'sign_in {\n  "name": "second"\n}' in prompt, (agent, prompt)
    task = await there.send(agent, answer, taskId=task["id"], contextId=task["contextId"])
    calls = [event.body for event in await there.log(task) if event.kind == "call"]
    return task, [str(one["error_type"]) for one in calls if one["type"] == "finished"]


async def test_each_framework_goes_on_with_the_answer(tmp_path: Path) -> None:
    async with place(tmp_path, script, settings()) as there:
        agents = [info.id for info in there.platform.team.infos]
        assert len(agents) == 11
        done = await asyncio.gather(*(answered(there, agent, "yes") for agent in agents))
        for agent, (task, calls) in zip(agents, done, strict=True):
            assert task["status"]["state"] == "TASK_STATE_COMPLETED", (agent, task)
            assert len(CODE.findall(texts(task)[-1])) == 2, (agent, texts(task))
            assert calls == ["None", "ApprovalNeeded", "None"], (agent, calls)
            log = await there.log(task)
            for kind in ("tool_call", "tool_result"):
                told = [one for one in said(log, kind) if one["name"] == "sign_in"]
                assert len(told) == 2, (agent, told)
                assert not any(one.get("is_error") for one in told), (agent, told)
        done = await asyncio.gather(*(answered(there, agent, "no") for agent in agents))
        for agent, (task, calls) in zip(agents, done, strict=True):
            assert task["status"]["state"] == "TASK_STATE_COMPLETED", (agent, task)
            assert len(CODE.findall(texts(task)[-1])) == 1, (agent, texts(task))
            assert calls == ["None", "ApprovalNeeded", "ToolRefused"], (agent, calls)
        # A run that is made again asks no model a second time what it was answered before.
        twice = Counter(code for code in map(asked_with, there.model.requests) if code)
        assert [code for code, times in twice.items() if times > 1] == []


def asked_with(request: RecordedRequest) -> str:
    """The code with which a model was asked to sign in for the second time."""
    words = str(request.messages)
    codes = list(dict.fromkeys(CODE.findall(words)))
    return codes[0] if len(codes) == 1 and "not approved" not in words else ""
