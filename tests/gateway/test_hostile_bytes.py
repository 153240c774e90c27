"""Bytes that no client should send: nothing fails inside, nothing grows, nothing is left open."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a_calls import COUNTER, V1, message, rpc

from codin.agent.cards import RESUME_EXTENSION
from codin.task.log.base import WAITING
from codin.testing.serving import ScriptedAgent, Served, serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

SENT = f"A2A-Version: 1.0\r\nA2A-Extensions: {RESUME_EXTENSION}\r\n"
_MEGABYTE = 1024 * 1024


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    agents = [COUNTER, ScriptedAgent("other", COUNTER.events)]
    async with serve_agents(tmp_path, agents, FixedPlanner(), heartbeat_seconds=0.1) as served:
        yield served


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=served.url, trust_env=False, timeout=20, headers=V1
    ) as http:
        yield http


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a client does wrong is no failure of ours."""
    yield
    worst = [one for one in caplog.records if one.levelname in {"ERROR", "CRITICAL"}]
    assert worst == []
    assert "Traceback" not in caplog.text


async def nothing_is_open(served: Served) -> None:
    async with asyncio.timeout(10):
        while served.parts.quota.open or set(served.log.notifier._waiting) - {WAITING}:
            await asyncio.sleep(0.01)


@dataclass
class Wire:
    """A connection as bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, served: Served) -> Wire:
        host, port = served.url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    def cut(self) -> None:
        """Reset the connection: what is on its way is lost."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def request(verb: str, path: str, body: Any = None, headers: str = "") -> bytes:
    raw = b"" if body is None else json.dumps(body).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n" if raw else ""
    head = f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\n{SENT}{kind}{headers}\r\n"
    return head.encode() + raw


def asks(task_id: str, after: int) -> dict[str, bytes]:
    """The stream of a task from one event on, over each binding."""
    seen = f"Last-Event-ID: {after}\r\n"
    subscribe = rpc("SubscribeToTask", {"id": task_id})
    return {
        "rpc": request("POST", "/agents/counter", subscribe, seen),
        "rest": request("GET", f"/agents/counter/tasks/{task_id}:subscribe", headers=seen),
    }


async def begin(http: httpx.AsyncClient, text: str) -> str:
    asked = {"message": message(text), "configuration": {"returnImmediately": True}}
    found = (await http.post("/agents/counter/message:send", json=asked)).json()
    return str(found["task"]["id"])


async def whole(served: Served, asked: bytes) -> bytes:
    wire = await Wire.open(served)
    wire.writer.write(asked)
    got = bytearray()
    async with asyncio.timeout(10):
        while not got.endswith(b"0\r\n\r\n"):
            got += await wire.reader.read(65536)
    await wire.close()
    return bytes(got)


def numbers(raw: bytes) -> list[int]:
    """The numbers of the events that came whole."""
    text = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", raw.partition(b"\r\n\r\n")[2])
    ended = text.rpartition(b"\n\n")[0]
    return [int(one) for one in re.findall(rb"id: (\d+)", ended)]


@pytest.mark.parametrize(
    ("binding", "step"),
    [("rpc", 41), ("rest", 41), pytest.param("rpc", 1, marks=pytest.mark.slow)],
)
async def test_a_stream_cut_at_any_byte_goes_on_without_gap_or_double(
    served: Served, http: httpx.AsyncClient, binding: str, step: int
) -> None:
    task_id = await begin(http, "2")
    async with http.stream("GET", f"/api/tasks/{task_id}/events"):
        pass
    async with asyncio.timeout(10):
        while "COMPLETED" not in (await http.get(f"/agents/counter/tasks/{task_id}")).text:
            await asyncio.sleep(0.02)
    answer = await whole(served, asks(task_id, 0)[binding])
    everything = numbers(answer)
    assert len(everything) > 5
    for cut in [*range(0, len(answer), step), len(answer) - 1]:
        wire = await Wire.open(served)
        wire.writer.write(asks(task_id, 0)[binding])
        got = await wire.reader.readexactly(cut)
        wire.cut()
        seen = numbers(got)
        assert seen == everything[: len(seen)]
        after = seen[-1] if seen else 0
        rest = numbers(await whole(served, asks(task_id, after)[binding]))
        assert seen + rest == everything, cut
    await nothing_is_open(served)


async def test_running_streams_that_are_cut_leave_nothing_open_and_their_task_alone(
    served: Served, http: httpx.AsyncClient
) -> None:
    task_id = await begin(http, "60")
    for cut in range(0, 1500, 37):
        for asked in (*asks(task_id, 0).values(), request("GET", f"/api/tasks/{task_id}/events")):
            wire = await Wire.open(served)
            wire.writer.write(asked)
            await wire.reader.read(max(1, cut)) if cut else None
            wire.cut()
    await nothing_is_open(served)
    async with asyncio.timeout(15):
        while "COMPLETED" not in (await http.get(f"/agents/counter/tasks/{task_id}")).text:
            await asyncio.sleep(0.05)


async def test_half_a_request_is_no_request(served: Served, http: httpx.AsyncClient) -> None:
    asked = {"message": message("1"), "configuration": {"returnImmediately": True}}
    wholes = [
        request("POST", "/agents/counter", rpc("SendMessage", asked)),
        request("POST", "/agents/counter/message:stream", asked),
        request("POST", "/api/goals", {"goal": "x"}),
    ]
    for raw in wholes:
        for cut in [*range(0, len(raw), 7), len(raw) - 1]:
            wire = await Wire.open(served)
            wire.writer.write(raw[:cut])
            await wire.writer.drain()
            wire.cut() if cut % 2 else await wire.close()
    await nothing_is_open(served)
    assert (await http.get("/agents/counter/tasks")).json()["totalSize"] == 0
    assert (await http.get("/api/tasks")).json()["total"] == 0


PLACES = ["/agents/counter", "/agents/counter/message:send", "/api/goals"]


def is_refused(answer: httpx.Response) -> bool:
    """With an error in the binding's own words, that tells nothing of the inside."""
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    error = answer.json().get("error")
    return error is not None and bool(error["message"]) and len(answer.content) < 4000


@pytest.mark.parametrize("place", PLACES)
async def test_bytes_that_are_no_text(http: httpx.AsyncClient, place: str) -> None:
    good = json.dumps(rpc("SendMessage", {"message": message("MARK")})).encode()
    for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00", b"\xfe\xff"):
        for body in (bad, good.replace(b"MARK", bad), bad + good, b'{"' + bad + b'":1}'):
            answer = await http.post(
                place, content=body, headers={"content-type": "application/json"}
            )
            assert is_refused(answer), (bad, body)
    for text in ('{"goal":"\\ud800"}', '{"goal":"\\udc00\\ud800"}'):
        answer = await http.post(place, content=text, headers={"content-type": "application/json"})
        assert is_refused(answer)
    half = good.replace(b"MARK", b"\\ud800")
    body = half if place == PLACES[0] else json.dumps(json.loads(half)["params"]).encode()
    answer = await http.post(place, content=body, headers={"content-type": "application/json"})
    assert is_refused(answer)


async def test_paths_and_headers_that_are_no_text(http: httpx.AsyncClient) -> None:
    for path in (
        "/api/tasks/%ff", "/api/tasks/%00", "/api/tasks/%ed%a0%80", "/agents/%ff/tasks",
        "/agents/counter/tasks/%ff%fe", "/agents/counter/tasks/%00:subscribe", "/%ff/tasks",
        "/api/tasks/x/files/%ff", "/api/tasks/x/files/%00", "/agents/counter/tasks?contextId=%ff",
        "/agents/counter/tasks?pageToken=%ff", "/api/tasks?page=%ff", "/static/%ff", "/static/%00",
        "/static/" + "a" * 5000, "/agents/" + "%2e%2e%2f" * 500, "/api/tasks/" + "a" * 60_000,
    ):  # fmt: skip
        answer = await http.get(path)
        assert answer.status_code < 500, path
    for name in ("last-event-id", "a2a-version", "a2a-extensions", "accept", "content-type"):
        for value in (b"\xff\xfe", b"\xc3\xa9", b"9" * 5000, b"-1", b"\xed\xa0\x80"):
            for path in ("/agents/counter/tasks", "/api/tasks/x/events", "/api/goals"):
                verb = "POST" if path.endswith("goals") else "GET"
                answer = await http.request(verb, path, headers={name.encode(): value})
                assert answer.status_code < 500, (name, value, path)


def nested(depth: int, around: str) -> str:
    opening, closing = ("[", "]") if around == "list" else ('{"a":', "}")
    return opening * depth + ("1" if around == "dict" else "") + closing * depth


@pytest.mark.parametrize("around", ["list", "dict"])
async def test_nesting_of_any_depth(http: httpx.AsyncClient, around: str) -> None:
    held = []
    for depth in (1, 10, *range(22, 52), 99, 100, 101, 500, 900, 990, 1000, 10_000):
        inner = nested(depth, around)
        for place in PLACES:
            answer = await http.post(
                place, content=inner, headers={"content-type": "application/json"}
            )
            if not isinstance(json.loads(answer.content), list):
                assert is_refused(answer), (depth, place)
        said = json.dumps(message("1", metadata={"deep": "MARK"})).replace('"MARK"', inner)
        body = f'{{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{{"message":{said}}}}}'
        answer = await http.post(
            PLACES[0], content=body, headers={"content-type": "application/json"}
        )
        if "error" in answer.json():
            assert is_refused(answer), depth
        else:
            held.append(answer.json()["result"]["task"]["id"])
    assert len(held) == 2 + (3 if around == "dict" else 4)  # with what is in it, 25 levels
    for task_id in held:  # what was taken can be shown, in every way
        for path in (f"/agents/counter/tasks/{task_id}", "/agents/counter/tasks?pageSize=100"):
            assert (await http.get(path)).status_code == 200
        assert (await http.get(f"/api/tasks/{task_id}/events")).status_code == 200


async def test_the_same_name_twice_is_the_last_and_ids_are_as_long_as_they_are(
    http: httpx.AsyncClient,
) -> None:
    twice = '{"jsonrpc":"2.0","id":1,"id":2,"method":"Nothing","method":"ListTasks","params":{}}'
    answer = await http.post(PLACES[0], content=twice, headers={"content-type": "application/json"})
    assert answer.json()["id"] == 2
    assert "result" in answer.json()
    for name in ("x" * 300, "x" * 100_000):
        for field in ("messageId", "contextId", "taskId"):
            said = message("1", **{field: name})
            refused = await http.post(PLACES[0], json=rpc("SendMessage", {"message": said}))
            assert is_refused(refused)
        for method in ("GetTask", "CancelTask", "SubscribeToTask"):
            assert is_refused(await http.post(PLACES[0], json=rpc(method, {"id": name})))


async def test_parts_have_a_bound(http: httpx.AsyncClient) -> None:
    many = message("1", parts=[{"text": "x"}] * 1001)
    refused = await http.post(PLACES[0], json=rpc("SendMessage", {"message": many}))
    assert "1,001 parts" in refused.json()["error"]["message"]
    assert "1,000" in refused.json()["error"]["message"]


def resident() -> int:
    """Bytes of memory that this process, which is client and server, has."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("declared", [True, False])
async def test_a_hundred_megabytes_are_refused_and_not_held(
    served: Served, http: httpx.AsyncClient, place: str, declared: bool
) -> None:
    head = request("POST", place)[:-2] + b"Content-Type: application/json\r\n"
    size = 100 * _MEGABYTE
    length = b"Content-Length: %d" % size if declared else b"Transfer-Encoding: chunked"
    chunk = b" " * _MEGABYTE
    if not declared:
        chunk = b"%x\r\n%s\r\n" % (_MEGABYTE, chunk)
    wire = await Wire.open(served)
    before = most = resident()
    wire.writer.write(head + length + b"\r\n\r\n")
    answer = asyncio.create_task(wire.reader.read(4096))
    sent = 0
    while sent < 100:
        try:
            wire.writer.write(chunk)
            async with asyncio.timeout(1):
                await wire.writer.drain()
        except (TimeoutError, ConnectionError):
            break  # the gateway reads no more
        sent += 1
        most = max(most, resident())
    got = await asyncio.wait_for(answer, 5)
    wire.cut()
    assert b"1,048,576 bytes allowed" in got
    assert (b"413" in got) != (place == PLACES[0])
    assert most - before < 24 * _MEGABYTE
    await nothing_is_open(served)
    assert (await http.get("/healthz")).status_code == 200


async def test_many_clients_that_say_nothing_do_not_keep_others_out(
    served: Served, http: httpx.AsyncClient
) -> None:
    wires = [await Wire.open(served) for _ in range(100)]
    for number, wire in enumerate(wires):
        wire.writer.write(request("POST", PLACES[0], rpc("ListTasks", {}))[: number + 1])
    answer = await http.post(PLACES[0], json=rpc("ListTasks", {}))
    assert answer.json()["result"]["totalSize"] == 0
    for wire in wires:
        wire.cut()
    await nothing_is_open(served)
