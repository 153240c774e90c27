"""Streams that are quiet, unread, or many."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from a2a_calls import COUNTER, POURER, V1, events, message, sending, subscribed
from starlette.types import Message

from codin.gateway.streams import EventStream, StreamLimits, frame
from codin.testing.serving import serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("serve_team.py")


async def test_everybody_sees_the_same_in_the_same_order(tmp_path: Path) -> None:
    async with (
        serve_agents(tmp_path, [COUNTER], FixedPlanner()) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20) as http,
        sending(http, "counter", message("15"), "rpc") as stream,
    ):
        sent = events(stream)
        first = await anext(sent)
        task_id = first.body["task"]["id"]

        async def watch(binding: str, leave: bool) -> list[tuple[int, str]]:
            async with subscribed(http, "counter", task_id, binding, 1) as watched:
                seen = []
                async for event in events(watched):
                    seen.append((event.seq, json.dumps(event.body, sort_keys=True)))
                    if leave:
                        break
                return seen

        watchers = [watch(binding, n == 1) for n, binding in enumerate(["rpc", "rest"] * 3)]
        seen = await asyncio.gather(*watchers)
        mine = [(event.seq, json.dumps(event.body, sort_keys=True)) async for event in sent]
    # with what the run was begun with, which nobody is told
    assert mine[-1][0] == first.seq + 1 + len(mine)
    assert len(seen.pop(1)) == 1  # one that leaves changes nothing for the others
    assert all(one == mine for one in seen)


async def test_a_quiet_stream_says_that_it_is_there(http: httpx.AsyncClient) -> None:
    body = {"message": message("hang on")}
    async with http.stream("POST", "/message:stream", json=body, headers=V1) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        async with asyncio.timeout(5):
            async for line in stream.aiter_lines():
                if line == ": ping":
                    break


async def lines_of(reader: asyncio.StreamReader) -> list[str]:
    return (await reader.read()).decode(errors="replace").splitlines()


async def test_who_does_not_read_is_dropped_and_told_how_to_go_on(tmp_path: Path) -> None:
    async with serve_agents(
        tmp_path, [POURER], FixedPlanner(), heartbeat_seconds=0.1, stall_seconds=0.4
    ) as served:
        port = int(served.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        body = json.dumps({"message": message("20")}).encode()
        head = (
            "POST /agents/pourer/message:stream HTTP/1.1\r\nHost: 127.0.0.1\r\nA2A-Version: 1.0\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await asyncio.sleep(2.5)
        lines = await asyncio.wait_for(lines_of(reader), 20)
        writer.close()
        at = lines.index("event: error")
        error = json.loads(lines[at + 1].removeprefix("data: "))
        seen = max(int(line.removeprefix("id: ")) for line in lines if line.startswith("id: "))
        assert f"Last-Event-ID: {seen}" in error["error"]["message"]
        task_id = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
        task_id = task_id["task"]["id"]
        async with (
            httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=30) as http,
            subscribed(http, "pourer", task_id, "rest", seen) as stream,
        ):
            rest = [event async for event in events(stream)]
        assert rest[0].seq == seen + 1
        assert rest[-1].state == "TASK_STATE_COMPLETED"


async def test_who_never_reads_is_given_up() -> None:
    """The connection's buffer never drains: the stream ends, and so does what fed it."""
    ended = asyncio.Event()

    async def frames() -> AsyncGenerator[tuple[int, bytes], None]:
        try:
            for seq in range(1000):
                yield seq, frame(b"{}", seq)
        finally:
            ended.set()

    taken = 0

    async def send(_: object) -> None:
        nonlocal taken
        taken += 1
        if taken > 5:
            await asyncio.Event().wait()

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    stream = EventStream(
        frames(),
        dropped=lambda _: b"",
        failed=lambda _: b"",
        limits=StreamLimits(heartbeat=0.05, stall=0.2, grace=0.2),
    )
    began = time.monotonic()
    await asyncio.wait_for(stream({"type": "http"}, receive, send), 5)
    assert 0.3 < time.monotonic() - began < 3
    assert ended.is_set()
    assert taken <= 7  # what it had taken, and no more was made for it


async def test_an_error_in_a_stream_is_its_last_event() -> None:
    async def frames() -> AsyncGenerator[tuple[int, bytes], None]:
        yield 1, frame(b"{}", 1)
        raise RuntimeError("secret")

    sent: list[Message] = []

    async def send(one: Message) -> None:
        sent.append(one)

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    stream = EventStream(frames(), dropped=lambda _: b"", failed=lambda _: frame(b"{}", event="e"))
    await stream({"type": "http"}, receive, send)
    assert [one.get("more_body") for one in sent] == [None, True, False]
    assert sent[-1]["body"] == b"event: e\ndata: {}\n\n"


@pytest.mark.slow
async def test_a_thousand_open_streams_end_with_the_server(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, tmp_path, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        limits = httpx.Limits(max_connections=1200)
        async with httpx.AsyncClient(
            base_url=url, trust_env=False, timeout=30, limits=limits
        ) as http:
            task_id = (await http.post("/api/goals", json={"goal": "hang on"})).json()["task_id"]
            opened = asyncio.Semaphore(0)

            async def watch() -> None:
                path = f"/tasks/{task_id}:subscribe"
                async with http.stream("GET", path, headers=V1) as stream:
                    lines = stream.aiter_lines()
                    await anext(lines)
                    opened.release()
                    async for _ in lines:  # a proper end, or this raises
                        pass

            watchers = [asyncio.create_task(watch()) for _ in range(1000)]
            for _ in watchers:
                await opened.acquire()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
            took = time.monotonic() - began
            await asyncio.gather(*watchers)
        assert took < 3
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
