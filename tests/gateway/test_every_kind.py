"""A tool of each kind, called by agents of four frameworks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from coordination_place import ADK, AGNO, CREWAI, LANGGRAPH, place, source, texts
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codin.testing.a2a_server import listening
from codin.testing.scripted_model import RecordedRequest, Turn, text, tool_call

pytestmark = pytest.mark.slow

FUNCTION = '''
from codin import tool

@tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number
'''
CALLS: dict[str, dict[str, Any]] = {
    "double": {"number": 21},
    "weather_get_city": {"city": "Paris"},
    "clock_convert_time": {
        "source_timezone": "UTC",
        "time": "12:00",
        "target_timezone": "Asia/Tokyo",
    },
    "letters": {"words": "one two three"},
    "run_python": {"code": "print('py', 6 * 7)"},
    "ask_helper": {"request": "What do you know?"},
}
ANSWERS = ("42", "clear", "21:00", "13", "py 42", "helpful")
TEAM = {"graphs": LANGGRAPH, "kits": ADK, "crews": CREWAI, "agnos": AGNO}


def script(request: RecordedRequest) -> Turn:
    if "You are helper" in request.system:
        return text("something helpful")
    done = len(request.tool_results)
    if done < len(CALLS):
        return tool_call(*list(CALLS.items())[done])
    return text(" | ".join(request.tool_results))


async def weather(request: Request) -> Response:
    return JSONResponse({"city": request.path_params["city"], "sky": "clear"})


def document(url: str) -> dict[str, Any]:
    parameter = {"name": "city", "in": "path", "required": True, "schema": {"type": "string"}}
    operation = {"operationId": "get_city", "parameters": [parameter], "responses": {}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weather", "version": "1"},
        "servers": [{"url": url}],
        "paths": {"/cities/{city}": {"get": operation}},
    }


def settings(folder: Path, url: str) -> dict[str, Any]:
    (folder / "tools.py").write_text(FUNCTION)
    (folder / "weather.json").write_text(json.dumps(document(url)))
    asked = [*list(CALLS)[:-1], "agent:helper"]
    team = [source(folder, kind, name, "Calls tools.", asked) for name, kind in TEAM.items()]
    team[2] |= {"requirements": ["crewai>=1.15.30"]}
    return {
        "agents": [*team, source(folder, AGNO, "helper", "Helps.")],
        "tools": [folder / "tools.py"],
        "openapi": {"weather": {"document": str(folder / "weather.json")}},
        "mcp": {
            "clock": {
                "command": ["python3", "-m", "mcp_server_time"],
                "requirements": ["mcp-server-time>=2025.9.25"],
            }
        },
        "commands": {
            "letters": {
                "description": "Count the letters of words.",
                "argv": ["expr", "length", "{words}"],
                "arguments": {"words": {"type": "string"}},
            }
        },
        "security": {"outgoing": ["127.0.0.1"]},
    }


async def test_each_is_called_by_each(tmp_path: Path) -> None:
    async with (
        listening(Starlette(routes=[Route("/cities/{city}", weather)])) as url,
        place(tmp_path, script, settings(tmp_path, url)) as there,
    ):
        done = await asyncio.gather(*(there.send(agent, "Call them all.") for agent in TEAM))
        for agent, task in zip(TEAM, done, strict=True):
            assert task["status"]["state"] == "TASK_STATE_COMPLETED", (agent, task)
            said = texts(task)[-1]
            assert [answer for answer in ANSWERS if answer not in said] == [], (agent, said)
            log = await there.log(task)
            recorded = [event.body for event in log if event.kind == "call"]
            finished = [call for call in recorded if call["type"] == "finished"]
            assert [call["name"] for call in finished] == list(CALLS)
            assert [call["error_type"] for call in finished] == [None] * len(CALLS)
