"""The side that asks a Worker. It believes nothing of what comes back."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, NoReturn

from codin.errors import InvalidInputError
from codin.sandbox.base import Limits
from codin.sandbox.errors import (
    OutputLimit,
    RemoteError,
    SandboxError,
    SandboxTimeout,
    WorkerGone,
    WorkerProtocolError,
)
from codin.sandbox.outcome import CodeResult, OnOutput, OutputChunk, Usage
from codin.sandbox.worker import frames
from codin.sandbox.worker.base import Worker, WorkerCall

_LEAST_FRAME = 256 * 1024  # a traceback always fits
_GRACE_SECONDS = 1.0
LANGUAGES = frozenset({"python", "bash"})


class WorkerLink(ABC):
    """How a Worker's process is reached. Each kind of sandbox has one."""

    limits: Limits

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send bytes. Raises ``OSError`` when the other side has gone."""

    @abstractmethod
    async def receive(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises ``EOFError`` or ``OSError`` when the other side went."""

    @abstractmethod
    def begin(self, sink: Callable[[OutputChunk], None]) -> None:
        """A call begins: output goes to ``sink``, and is counted from 0."""

    @abstractmethod
    def finish(self) -> Usage:
        """The call has ended: what it wrote has gone to its sink; what it used.

        Raises ``EOFError`` when the process was ended in the meantime.
        """

    @abstractmethod
    def end(self, reason: SandboxError | None = None) -> None:
        """Kill the process and all that it started. Returns at once."""

    @abstractmethod
    async def wait(self) -> int:
        """Until it is gone; gives its exit code, or raises why it was ended."""

    def last_words(self) -> str:
        """What it printed outside of any call: why it could not start, perhaps."""
        return ""


def frame_limit(limits: Limits) -> int:
    """The most bytes of one frame that comes from inside: values count as output."""
    if limits.output_bytes is None:
        return frames.MAX_FRAME
    return min(max(limits.output_bytes, _LEAST_FRAME), frames.MAX_FRAME)


class WorkerClient(Worker):
    """A Worker, over a link. Calls that are made at the same time wait for each other."""

    def __init__(self, link: WorkerLink) -> None:
        self._link = link
        self._turn = asyncio.Lock()
        self._last_id = 0
        self._greeted = False
        self._python = ""
        self._closed = False
        self._max_frame = frame_limit(link.limits)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._closed

    async def greet(self) -> None:
        """Wait until the process inside is ready. Calls do it by themselves.

        Raises:
            WorkerGone, WorkerProtocolError
        """
        async with self._turn:
            await self._greet()

    async def python(self) -> str:
        await self.greet()
        return self._python

    def call(
        self,
        target: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        source: str | None = None,
        timeout: float | None = None,
    ) -> WorkerCall:
        request = {"t": "call", "target": target, "source": source}
        return _Call(self, {**request, "args": list(args), "kwargs": dict(kwargs)}, timeout)

    def construct(
        self,
        instance: str,
        target: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        source: str | None = None,
        timeout: float | None = None,
    ) -> WorkerCall:
        request = {"t": "construct", "instance": instance, "target": target, "source": source}
        return _Call(self, {**request, "args": list(args), "kwargs": dict(kwargs)}, timeout)

    def method(
        self,
        instance: str,
        method: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        timeout: float | None = None,
    ) -> WorkerCall:
        request = {"t": "method", "instance": instance, "method": method}
        return _Call(self, {**request, "args": list(args), "kwargs": dict(kwargs)}, timeout)

    async def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        session: str = "main",
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> CodeResult:
        if language not in LANGUAGES:
            raise InvalidInputError(
                f"a Worker runs {' and '.join(sorted(LANGUAGES))}, not {language!r}"
            )
        taken = _Taken(on_output)
        request = {"t": "code", "language": language, "session": session, "code": code}
        answer, usage = await self.exchange(request, timeout, taken.chunk, lambda _: None)
        value, error = _text(answer, "value"), _text(answer, "error")
        if answer["t"] == "error":
            error = _text(answer, "traceback")
        return CodeResult(taken.text("stdout"), taken.text("stderr"), value, error, usage)

    async def close(self) -> None:
        self._closed = True
        self._link.end(WorkerGone("the Worker was closed"))
        try:
            await self._link.wait()
        except SandboxError:
            return

    async def exchange(
        self,
        request: dict[str, Any],
        timeout: float | None,
        on_chunk: Callable[[OutputChunk], None],
        on_item: Callable[[Any], None],
    ) -> tuple[dict[str, Any], Usage]:
        """Send a request and take what comes until its end: ``done`` or ``error``, and the usage.

        The Worker is ended when the time is up, when the caller is cancelled, and when the answer
        is not what the protocol allows.
        """
        self._last_id += 1
        number = self._last_id
        try:
            data = frames.pack({**request, "id": number})
        except (TypeError, frames.FrameError) as error:
            raise InvalidInputError(f"the arguments cannot be sent: {error}") from error
        async with self._turn, self._ended_on_failure(timeout):
            await self._greet()
            self._link.begin(on_chunk)
            await self._link.send(data)
            answer = await self._answer(number, on_item)
            return answer, self._link.finish()

    @asynccontextmanager
    async def _ended_on_failure(self, timeout: float | None) -> AsyncIterator[None]:
        if self._closed:
            await self._gone()
        most = self._link.limits.wall_seconds
        seconds = min((s for s in (timeout, most) if s is not None), default=None)
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            self._stop(SandboxTimeout(f"it ran longer than {seconds:g} s, and was ended"))
            await self._gone()
        except (EOFError, OSError):
            self._closed = True
            await self._gone()
        except frames.FrameError as error:
            self._stop(WorkerProtocolError(f"the Worker was ended: {error}"))
            await self._gone()
        except BaseException:
            self._stop(WorkerGone("the Worker was ended with the call that it ran"))
            raise

    def _stop(self, reason: SandboxError | None) -> None:
        self._closed = True
        self._link.end(reason)

    async def _gone(self) -> NoReturn:
        """Raise why the process has ended; one that only closed its end is ended now."""
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                code = await self._link.wait()
        except TimeoutError:
            self._link.end(WorkerProtocolError("the Worker closed its connection"))
            code = await self._link.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        said = f"; it said: {words}" if (words := self._link.last_words()) else ""
        raise WorkerGone(f"the process of the Worker has ended ({how}); its state is lost{said}")

    async def _greet(self) -> None:
        if self._greeted:
            return
        hello = await self._receive()
        if hello["t"] != "hello" or hello.get("version") != frames.VERSION:
            raise frames.FrameError("it did not begin with the hello of this version")
        self._python = _text(hello, "python") or ""
        self._greeted = True

    async def _answer(self, number: int, on_item: Callable[[Any], None]) -> dict[str, Any]:
        left = self._max_frame
        while True:
            message = await self._receive()
            kind, answered = message["t"], message.get("id")
            if type(answered) is not int or answered != number:
                raise frames.FrameError(f"it answered request {answered!r:.50}, not {number}")
            if kind == "item":
                left -= message["bytes"]
                if left < 0:
                    self._link.end(OutputLimit("the items are more than output_bytes allows"))
                on_item(message.get("value"))
            elif kind in {"done", "error"}:
                return message
            else:
                raise frames.FrameError(f"it sent a frame of kind {kind!r:.50}")

    async def _receive(self) -> dict[str, Any]:
        head = await self._link.receive(frames.LENGTH.size)
        (size,) = frames.LENGTH.unpack(head)
        if size > self._max_frame + 1024:
            raise frames.FrameError(f"it sent a frame of {size} bytes")
        message = frames.unpack(await self._link.receive(size))
        message["bytes"] = size
        return message


class _Taken:
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


class _Call(WorkerCall):
    """A call under way, as a task that fills two queues."""

    def __init__(
        self, client: WorkerClient, request: dict[str, Any], timeout: float | None
    ) -> None:
        self._client = client
        self._output: asyncio.Queue[OutputChunk | None] = asyncio.Queue()
        self._items: asyncio.Queue[tuple[Any] | None] = asyncio.Queue()
        self._all_items: list[Any] = []
        self._task = asyncio.create_task(self._run(request, timeout))
        self._task.add_done_callback(self._done)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._task.__await__()

    async def output(self) -> AsyncIterator[OutputChunk]:
        while (chunk := await self._output.get()) is not None:
            yield chunk

    async def items(self) -> AsyncIterator[Any]:
        while (item := await self._items.get()) is not None:
            yield item[0]

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, request: dict[str, Any], timeout: float | None) -> Any:
        answer, self.usage = await self._client.exchange(
            request, timeout, self._output.put_nowait, self._item
        )
        if answer["t"] == "error":
            raise _remote(answer)
        return self._all_items if answer.get("stream") is True else answer.get("value")

    def _item(self, value: Any) -> None:
        self._all_items.append(value)
        self._items.put_nowait((value,))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._output.put_nowait(None)
        self._items.put_nowait(None)
        if not task.cancelled():
            task.exception()  # whoever only iterates is told by the end of the iteration


def _remote(answer: dict[str, Any]) -> SandboxError:
    kind, message = _text(answer, "type") or "Exception", _text(answer, "message") or ""
    if kind == frames.FrameError.__name__:
        return OutputLimit(f"the value is too large: {message}")
    return RemoteError(kind, message, _text(answer, "traceback") or "")


def _text(answer: dict[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if value is None or isinstance(value, str) else repr(value)[:1000]
