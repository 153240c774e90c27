"""The load: a program of its own that reads what to measure, a line of JSON each, and answers so.

It is the same for every server, and looks at every answer: a fast wrong one counts for nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from codin.bench._client import Connection, events_of
from codin.bench.base import BenchError
from codin.errors import CodinError
from codin.loop import run

Job = Mapping[str, Any]

_DONE = b'"TASK_STATE_COMPLETED"'
_numbers = itertools.count()
_RUN = uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class _Target:
    """An agent's JSON-RPC endpoint, and what each request to it begins with."""

    host: str
    port: int
    head: bytes

    @classmethod
    def of(cls, job: Job) -> _Target:
        url = urlsplit(job["url"])
        lines = [
            f"POST {url.path or '/'} HTTP/1.1",
            f"Host: {url.netloc}",
            "Content-Type: application/json",
            "A2A-Version: 1.0",
            *(f"{name}: {value}" for name, value in job["headers"].items()),
        ]
        assert url.hostname is not None
        assert url.port is not None
        return cls(url.hostname, url.port, "\r\n".join(lines).encode())

    async def connect(self, count: int) -> list[Connection]:
        return [await Connection.to(self.host, self.port) for _ in range(count)]

    def request(self, method: str, params: dict[str, Any]) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        return self.head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def send(self, text: str, method: str = "SendMessage") -> bytes:
        """A request with a message of its own id."""
        message = {
            "messageId": f"{_RUN}-{next(_numbers)}",
            "role": "ROLE_USER",
            "parts": [{"text": text}],
        }
        return self.request(method, {"message": message})


async def _send(job: Job) -> float:
    """SendMessage per second, over ``connections`` that each wait for their answer."""
    target = _Target.of(job)

    async def once(connection: Connection, number: int) -> None:
        text = f"say {_RUN} {number} again"
        _check(await connection.ask(target.send(text)), text)

    return await _rate(target, job, once)


async def _get(job: Job) -> float:
    """GetTask per second, each connection for a task of its own."""
    target = _Target.of(job)
    requests: dict[Connection, bytes] = {}

    async def once(connection: Connection, number: int) -> None:
        if connection not in requests:
            text = f"to be got {number}"
            made = json.loads(await connection.ask(target.send(text)))["result"]["task"]
            requests[connection] = target.request("GetTask", {"id": made["id"]})
        _check(await connection.ask(requests[connection]), "to be got")

    return await _rate(target, job, once)


async def _rate(
    target: _Target, job: Job, once: Callable[[Connection, int], Awaitable[None]]
) -> float:
    connections = await target.connect(job["connections"])
    numbers = itertools.count()
    for connection in connections:  # the first of each is not measured
        await once(connection, next(numbers))
    begun = time.perf_counter()
    until = begun + job["seconds"]

    async def drive(connection: Connection) -> int:
        done = 0
        while time.perf_counter() < until:
            await once(connection, next(numbers))
            done += 1
        return done

    counts = await asyncio.gather(*(drive(connection) for connection in connections))
    took = time.perf_counter() - begun
    for connection in connections:
        connection.close()
    return sum(counts) / took


async def _first_event(job: Job) -> float:
    """Milliseconds from a SendStreamingMessage to its first event: the median of ``count``."""
    target = _Target.of(job)
    [connection] = await target.connect(1)
    waits = []
    for number in range(job["count"] + 1):
        text = f"first {number}"
        request = target.send(text, "SendStreamingMessage")
        begun = time.perf_counter()
        body = await connection.ask(request)
        waits.append((connection.first_data - begun) * 1000)
        _check(body, text)
    connection.close()
    return median(waits[1:])


async def _events(job: Job) -> float:
    """Distinct artifacts per second, over ``connections`` streams of ``count`` each."""
    target = _Target.of(job)
    connections = await target.connect(job["connections"])
    requests = [target.send(f"stream {job['count']}", "SendStreamingMessage") for _ in connections]
    begun = time.perf_counter()
    bodies = await asyncio.gather(
        *(one.ask(request) for one, request in zip(connections, requests, strict=True))
    )
    took = time.perf_counter() - begun
    for connection in connections:
        connection.close()
    for body in bodies:
        _check_stream(events_of(body), job["count"])
    return len(connections) * float(job["count"]) / took


_held: list[Connection] = []


async def _hold(job: Job) -> float:
    """Open ``connections`` streams of tasks that go on, and leave them open."""
    target = _Target.of(job)
    for _ in range(job["connections"]):
        [connection] = await target.connect(1)
        await connection.begin(target.send("hold", "SendStreamingMessage"))
        _held.append(connection)
    return float(len(_held))


async def _let_go(job: Job) -> float:
    """Close the streams that are open."""
    count = len(_held)
    while _held:
        _held.pop().close()
    return float(count)


def _check(body: bytes, text: str) -> None:
    if _DONE not in body or text.encode() not in body:
        raise BenchError(f"a wrong answer to {text!r}: {body[:500]!r}")


def _check_stream(events: list[dict[str, Any]], count: int) -> None:
    artifacts = [one["artifactUpdate"]["artifact"] for one in events if "artifactUpdate" in one]
    said = [(one["artifactId"], one["parts"][0]["text"]) for one in artifacts]
    if said != [(f"artifact-{number}", f"piece {number}") for number in range(count)]:
        raise BenchError(f"a stream of {count} artifacts had {len(said)}, or others")
    state = events[-1].get("statusUpdate", {}).get("status", {}).get("state")
    if "task" not in events[0] or state != "TASK_STATE_COMPLETED":
        raise BenchError(f"a stream began or ended wrongly: {events[0]} ... {events[-1]}"[:500])


JOBS: Mapping[str, Callable[[Job], Awaitable[float]]] = {
    "send": _send,
    "get": _get,
    "first event": _first_event,
    "events": _events,
    "hold": _hold,
    "let go": _let_go,
}


async def main() -> None:
    """Do one job after the other, until there are no more."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = json.loads(line)
        try:
            answer: dict[str, Any] = {"value": await JOBS[job["do"]](job)}
        except (CodinError, OSError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    run(main())
