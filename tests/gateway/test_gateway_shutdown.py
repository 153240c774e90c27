"""A gateway that is told to stop does so, with streams open and goals under way."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from codin.security import LOCAL_USER
from codin.task.log import SqliteEventLog

SCRIPT = Path(__file__).with_name("serve_team.py")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        SCRIPT,
        tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    yield process, url
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_open_streams_do_not_keep_it_alive(
    gateway: tuple[asyncio.subprocess.Process, str], tmp_path: Path, number: signal.Signals
) -> None:
    process, url = gateway
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        task_id = (await http.post("/api/goals", json={"goal": "hang on"})).json()["task_id"]
        a2a = {"A2A-Version": "1.0"}
        async with (
            http.stream("GET", f"/api/tasks/{task_id}/events") as page,
            http.stream("GET", f"/tasks/{task_id}:subscribe", headers=a2a) as client,
        ):
            page_lines, client_lines = page.aiter_lines(), client.aiter_lines()
            await anext(page_lines)
            await anext(client_lines)
            began = time.monotonic()
            process.send_signal(number)
            for lines in (page_lines, client_lines):
                [_ async for _ in lines]  # a proper end, or this raises
        async with asyncio.timeout(10):
            _, errors = await process.communicate()
    assert time.monotonic() - began < 3
    assert (process.returncode, errors.decode()) == (0, "")
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    assert (await log.task(LOCAL_USER, task_id)).state == "TASK_STATE_CANCELED"
    assert await log.unfinished() == []
    await log.close()
