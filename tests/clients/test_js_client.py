"""The JavaScript SDK's client gives a goal to a served gateway and streams it to the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from js_client import stream

from codin.testing.serving import Served, serve_agents
from codin.testing.team import ANSWER, TEAM, FixedPlanner


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve_agents(tmp_path, TEAM, FixedPlanner()) as served:
        yield served


@pytest.mark.slow
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_javascript_client_streams_a_goal_to_its_end(
    served: Served, binding: str
) -> None:
    lines = await stream(served.url, binding, "Who leads?")
    assert lines[0]["event"]["payload"]["$case"] == "task"
    assert lines[-2]["event"]["payload"]["$case"] == "statusUpdate"
    assert lines[-1]["task"]["status"]["state"] == 3  # TASK_STATE_COMPLETED
    assert ANSWER in json.dumps(lines, ensure_ascii=False)
    texts = [
        part["content"]["value"] for a in lines[-1]["task"]["artifacts"] for part in a["parts"]
    ]
    assert ANSWER in texts
