"""A call of a Worker under way, as it looks to who made it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any

from codin.sandbox.errors import OutputLimit, RemoteError, SandboxError
from codin.sandbox.outcome import OnOutput, OutputChunk, Usage
from codin.sandbox.worker import frames
from codin.sandbox.worker.base import WorkerCall

if TYPE_CHECKING:
    from codin.sandbox.worker.client import WorkerClient


class Call(WorkerCall):
    """What has come of a call until now. It needs no task, and wakes only those who wait."""

    __slots__ = (
        "_answer",
        "_chunks",
        "_client",
        "_error",
        "_items",
        "_sink",
        "_usage",
        "_waiters",
        "data",
        "number",
        "source",
        "timeout",
    )

    def __init__(
        self,
        client: WorkerClient,
        timeout: float | None,
        sink: Callable[[OutputChunk], None] | None,
        number: int,
    ) -> None:
        self.timeout = timeout
        self.number = number
        self.data: bytes | None = None
        self.source = 0
        self._client = client
        self._sink = sink
        self._chunks: deque[OutputChunk] = deque()
        self._items: list[Any] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._answer: dict[str, Any] | None = None
        self._error: BaseException | None = None
        self._usage: Usage | Callable[[], Usage] = Usage

    @property
    def usage(self) -> Usage:
        if not isinstance(self._usage, Usage):
            self._usage = self._usage()
        return self._usage

    def __await__(self) -> Generator[Any, None, Any]:
        answer = yield from self.last()
        if answer["t"] == "error":
            raise _remote(answer)
        return list(self._items) if answer.get("stream") is True else answer.get("value")

    async def answered(self) -> dict[str, Any]:
        """The last frame, whatever it is."""
        return await _Last(self)

    def last(self) -> Generator[Any, None, dict[str, Any]]:
        """Wait for the last frame; who is cancelled meanwhile ends the Worker."""
        try:
            while self._answer is None and self._error is None:
                yield from self._news()
        except asyncio.CancelledError:
            self._client.abandon(self)
            raise
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    async def output(self) -> AsyncIterator[OutputChunk]:
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._over:
                return
            await self._news()

    async def items(self) -> AsyncIterator[Any]:
        given = 0
        while True:
            while given < len(self._items):
                given += 1
                yield self._items[given - 1]
            if self._over:
                return
            await self._news()

    async def cancel(self) -> None:
        if not self._over:
            self._client.abandon(self)

    def chunk(self, chunk: OutputChunk) -> None:
        """Some output has come."""
        if self._sink is not None:
            self._sink(chunk)
        else:
            self._chunks.append(chunk)
            self._wake()

    def item(self, value: Any) -> None:
        """Something was yielded."""
        self._items.append(value)
        self._wake()

    def conclude(self, answer: dict[str, Any], usage: Callable[[], Usage]) -> None:
        """The last frame has come."""
        self._answer, self._usage = answer, usage
        self._wake()

    def fail(self, error: BaseException) -> None:
        """There will be no last frame."""
        if not self._over:
            self._error = error
            self._wake()

    @property
    def _over(self) -> bool:
        return self._answer is not None or self._error is not None

    def _news(self) -> asyncio.Future[None]:
        """Done when anything has come."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class _Last:
    """The last frame of a call, to be awaited."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        return self._call.last()


class Taken:
    """Output, kept and passed on."""

    def __init__(self, on_output: OnOutput | None = None) -> None:
        self._on_output = on_output
        self._parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}

    def chunk(self, chunk: OutputChunk) -> None:
        self._parts[chunk.stream].append(chunk.data)
        if self._on_output is not None:
            self._on_output(chunk)

    def text(self, stream: str) -> str:
        return b"".join(self._parts[stream]).decode(errors="replace")


def text_of(answer: dict[str, Any], name: str) -> str | None:
    """A field that ought to be text, as text."""
    value = answer.get(name)
    return value if value is None or isinstance(value, str) else repr(value)[:1000]


def _remote(answer: dict[str, Any]) -> SandboxError:
    kind, message = text_of(answer, "type") or "Exception", text_of(answer, "message") or ""
    if kind == frames.FrameError.__name__:
        return OutputLimit(f"the value is too large: {message}")
    return RemoteError(kind, message, text_of(answer, "traceback") or "")
