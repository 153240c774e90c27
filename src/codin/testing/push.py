"""A receiver of push notifications on a loopback port, for tests of whatever sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codin.gateway.server import HttpServer
from codin.task.push.http import EVENT_HEADER

Answer = Callable[["Received"], Awaitable[Response]]


class AnyUrl:
    """A guard that lets everything through: loopback too."""

    async def check(self, url: str) -> None:
        """Return."""


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers[EVENT_HEADER.lower()]

    @property
    def seq(self) -> int:
        return int(self.event_id.rpartition("/")[2])

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def state(self) -> str | None:
        """The task's state, when the body tells of one."""
        told = self.json.get("statusUpdate") or self.json.get("task") or {}
        state: str | None = told.get("status", {}).get("state")
        return state


async def taken(_: Received) -> Response:
    """The answer of a receiver that takes it."""
    return Response(status_code=204)


@dataclass
class Receiver:
    """Keeps what it is sent, in order, and answers by ``answer``; ``took`` has what it took."""

    answer: Answer = taken
    came: list[Received] = field(default_factory=list)
    took: list[Received] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    server: HttpServer | None = None
    port: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        received = Received(scope["path"], dict(request.headers), await request.body())
        async with self.news:
            self.came.append(received)
            self.news.notify_all()
        response = await self.answer(received)
        if response.status_code < 300:
            async with self.news:
                self.took.append(received)
                self.news.notify_all()
        await response(scope, receive, send)

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self.server = HttpServer(self, port=self.port)
        await self.server.start()
        self.port = int(self.server.url.rpartition(":")[2])

    async def stop(self) -> None:
        """Be gone: connections are refused."""
        if self.server is not None:
            await self.server.stop()
            self.server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def seqs(self) -> list[int]:
        """What was taken, by seq, in the order of coming."""
        return [received.seq for received in self.took]

    async def until(self, there: Callable[[], bool], seconds: float = 10.0) -> None:
        """Return when ``there`` is true.

        Raises:
            TimeoutError: it is not within ``seconds``.
        """
        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(there)

    async def until_state(self, state: str, seconds: float = 10.0) -> None:
        """Return when the task's ``state`` was told and taken."""
        await self.until(lambda: any(one.state == state for one in self.took), seconds)
