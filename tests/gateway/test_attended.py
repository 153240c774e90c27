"""Who waits for an answer no more keeps nothing at work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from a2a_calls import V1, message
from grpc_calls import watchers
from starlette.types import Message

from codin.gateway.attended import Attended
from codin.gateway.quota import Quota
from codin.gateway.server import HttpServer
from codin.testing.serving import Served, serve_agents
from codin.testing.team import TEAM, FixedPlanner

pytestmark = pytest.mark.slow


@asynccontextmanager
async def waiting(home: Path) -> AsyncIterator[tuple[Served, asyncio.Task[httpx.Response], str]]:
    """A client that waits for the end of a goal that has none, for longer than a second."""
    async with (
        serve_agents(home, TEAM, FixedPlanner()) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=30) as http,
    ):
        body = {"message": message("hang on a while")}
        asked = asyncio.create_task(http.post("/message:send", json=body, headers=V1))
        await asyncio.sleep(1.3)
        [task] = (await http.get("/tasks", headers=V1)).json()["tasks"]
        assert watchers(served, task["id"]) == 1
        yield served, asked, task["id"]


async def test_a_client_that_leaves_while_it_waits(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (served, asked, task_id):
        asked.cancel()
        async with asyncio.timeout(5):
            while watchers(served, task_id) or served.parts.quota.open:
                await asyncio.sleep(0.02)
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
            task = (await http.get(f"/tasks/{task_id}", headers=V1)).json()
        assert task["status"]["state"] == "TASK_STATE_WORKING"  # it is the task's own business


async def test_a_client_that_waits_is_told_that_the_gateway_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from codin.gateway.app import create_app

    async with waiting(tmp_path) as (served, first, _):
        first.cancel()
        server = HttpServer(create_app(served.parts), port=0)
        await server.start()
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
            body = {"message": message("hang on a while")}
            asked = asyncio.create_task(http.post("/message:send", json=body, headers=V1))
            await asyncio.sleep(1.3)
            caplog.clear()
            began = time.monotonic()
            await server.stop()
            assert time.monotonic() - began < 2.5
            answer = await asked
        assert answer.status_code == 503
        assert "ask again" in answer.json()["error"]["message"]
        assert "Traceback" not in caplog.text


async def test_a_body_that_comes_slowly_arrives_whole() -> None:
    """Who watches for the client's going takes none of it, whoever of two readers comes first."""
    coming: asyncio.Queue[Message] = asyncio.Queue()
    turn = Quota().enter_address("127.0.0.1")
    async with Attended(coming.get, turn, body=True, watched_after=0) as attended:
        await asyncio.sleep(0.05)
        for part in (b"a", b"b", b"c"):
            coming.put_nowait({"type": "http.request", "body": part, "more_body": part != b"c"})
        await asyncio.sleep(0.05)
        parts = [(await attended.receive())["body"] for _ in range(3)]
    assert b"".join(parts) == b"abc"
    turn.leave()
