"""Clients that read slowly, stop, or go, and more than one may have."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from e2b import AsyncSandbox, RateLimitException, Sandbox
from e2b_service import Service

from codin.gateway.e2b.processes import Follower
from codin.gateway.e2b.watchers import MAX_WATCHERS
from codin.sandbox.outcome import OutputChunk

pytestmark = pytest.mark.slow

HEAD = struct.Struct(">BI")


def ask(service: Service, sandbox: Sandbox, path: str, message: dict[str, object]) -> socket.socket:
    """A connection on which ``message`` was sent, and nothing is read."""
    place = urlsplit(service.url)
    body = json.dumps(message).encode()
    body = HEAD.pack(0, len(body)) + body
    head = (
        f"POST /e2b{path} HTTP/1.1\r\nhost: {place.netloc}\r\n"
        f"content-type: application/connect+json\r\ncontent-length: {len(body)}\r\n"
        f"e2b-sandbox-id: {sandbox.sandbox_id}\r\n"
        f"x-access-token: {sandbox._envd_access_token}\r\n\r\n"
    )
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((place.hostname, place.port))
    connection.sendall(head.encode() + body)
    return connection


def start(command: str) -> dict[str, object]:
    return {"process": {"cmd": "/bin/bash", "args": ["-c", command]}, "stdin": False}


def resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


@pytest.mark.slow
def test_a_client_that_does_not_read_is_not_kept_for(service: Service, shared: Sandbox) -> None:
    before = resident()
    flood = start("head -c 300000000 /dev/zero; echo over > flooded")
    with ask(service, shared, "/process.Process/Start", flood):
        time.sleep(2)
        assert resident() - before < 100 << 20
        assert not shared.files.exists("flooded"), "the command waits for who reads it"
    deadline = time.monotonic() + 30
    while not shared.files.exists("flooded"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert resident() - before < 100 << 20


async def test_a_follower_has_a_bound() -> None:
    follower = Follower()
    chunk = OutputChunk("stdout", b"x" * 65536)
    putting = asyncio.ensure_future(_put(follower, chunk, 100))
    await asyncio.sleep(0.05)
    assert not putting.done()
    taken = 0
    items = follower.items()
    while taken < 100:
        assert await anext(items) == chunk
        taken += 1
    await putting
    waiting = asyncio.ensure_future(_put(follower, chunk, 100))
    await asyncio.sleep(0.05)
    follower.close()
    await asyncio.wait_for(waiting, 5)


async def _put(follower: Follower, chunk: OutputChunk, times: int) -> None:
    for _ in range(times):
        await follower.put(chunk)


def test_folders_that_are_watched_are_few(shared: Sandbox) -> None:
    watches = [shared.files.watch_dir(".") for _ in range(MAX_WATCHERS)]
    with pytest.raises(RateLimitException, match="are watched"):
        shared.files.watch_dir(".")
    watches.pop().stop()
    watches.append(shared.files.watch_dir("."))
    for watch in watches:
        watch.stop()


def test_a_watch_of_a_client_that_goes_is_over(service: Service, shared: Sandbox) -> None:
    for _ in range(3 * MAX_WATCHERS):
        with ask(service, shared, "/filesystem.Filesystem/WatchDir", {"path": "."}) as connection:
            assert connection.recv(1000)
        time.sleep(0.05)
    shared.files.watch_dir(".").stop()


async def test_files_of_one_caller_take_turns(aio: AsyncSandbox) -> None:
    data = b"x" * (4 << 20)
    await asyncio.gather(*(aio.files.write(f"turn{n}", data) for n in range(12)))
    found = await asyncio.gather(*(aio.files.read(f"turn{n}", format="bytes") for n in range(12)))
    assert all(each == data for each in found)


def test_half_an_upload_holds_nobody_up(service: Service, shared: Sandbox) -> None:
    place = urlsplit(service.url)
    for _ in range(20):
        connection = socket.create_connection((place.hostname, place.port))
        connection.sendall(
            f"POST /e2b/files?path=half HTTP/1.1\r\nhost: {place.netloc}\r\n"
            f"e2b-sandbox-id: {shared.sandbox_id}\r\n"
            f"x-access-token: {shared._envd_access_token}\r\n"
            "content-type: application/octet-stream\r\ncontent-length: 1000000\r\n\r\nxxxx".encode()
        )
        connection.close()
    shared.files.write("whole", "x")
    assert not shared.files.exists("half")


@pytest.mark.slow
def test_keepalives_come_when_they_are_asked_for(service: Service, shared: Sandbox) -> None:
    body = json.dumps(start("sleep 2.5")).encode()
    headers = {
        "e2b-sandbox-id": shared.sandbox_id,
        "x-access-token": shared._envd_access_token,
        "content-type": "application/connect+json",
        "keepalive-ping-interval": "1",
    }
    url = f"{service.url}/e2b/process.Process/Start"
    content = HEAD.pack(0, len(body)) + body
    answer = httpx.post(url, content=content, headers=headers, trust_env=False, timeout=30)
    assert answer.content.count(b'"keepalive"') == 2
