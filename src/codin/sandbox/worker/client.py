"""The side that asks a Worker. It believes nothing of what comes back."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from codin.errors import InvalidInputError
from codin.sandbox.errors import (
    OutputLimit,
    SandboxError,
    SandboxTimeout,
    WorkerGone,
    WorkerProtocolError,
)
from codin.sandbox.outcome import CodeResult, OnOutput, OutputChunk, Usage
from codin.sandbox.worker import frames
from codin.sandbox.worker._call import Call, Taken, text_of
from codin.sandbox.worker.base import Worker, WorkerCall
from codin.sandbox.worker.link import WorkerLink, frame_limit

_GRACE_SECONDS = 1.0
_MAX_SOURCES = 64
_ENDS = frozenset({"done", "error"})
_NUMBERS = struct.Struct("64Q")
_HEAD = frames.LENGTH.size
LANGUAGES = frozenset({"python", "bash"})


class WorkerClient(Worker):
    """A Worker, over a link. Calls that are made at the same time wait for each other.

    The Worker is ended when the time of a call is up, when who waits for one is cancelled, and
    when what comes is not what the protocol allows: also when nobody has asked.
    """

    def __init__(self, link: WorkerLink) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._current: Call | None = None
        self._waiting: deque[Call] = deque()
        self._sources: dict[str, int] = {}
        self._sent: set[int] = set()
        self._texts = 0
        self._numbers: list[int] = []
        self._greeted = False
        self._python = ""
        self._closed = False
        self._part = bytearray()
        self._max_frame = frame_limit(link.limits)
        self._items_left = 0
        self._seconds: float | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._burials: set[asyncio.Task[None]] = set()
        link.listen(self._received, self._lost)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._closed

    @property
    def idle(self) -> bool:
        return not self._closed and self._current is None

    async def greet(self) -> None:
        await self._submit(None, None)

    async def python(self) -> str:
        await self.greet()
        return self._python

    async def preload(self, modules: Sequence[str]) -> None:
        await self._submit({"t": "preload", "modules": list(modules)}, None)

    def call(
        self,
        target: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        source: str | None = None,
        timeout: float | None = None,
        fresh: bool = False,
    ) -> WorkerCall:
        request: dict[str, Any] = {
            "t": "call",
            "target": target,
            "args": list(args),
            "kwargs": dict(kwargs),
        }
        if fresh:
            request["fresh"] = True
        return self._submit(request, timeout, source)

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
        request = {"t": "construct", "instance": instance, "target": target}
        return self._submit(
            {**request, "args": list(args), "kwargs": dict(kwargs)}, timeout, source
        )

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
        return self._submit({**request, "args": list(args), "kwargs": dict(kwargs)}, timeout)

    async def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        session: str = "main",
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        fresh: bool = False,
    ) -> CodeResult:
        if language not in LANGUAGES:
            raise InvalidInputError(
                f"a Worker runs {' and '.join(sorted(LANGUAGES))}, not {language!r}"
            )
        taken = Taken(on_output)
        request = {"t": "code", "language": language, "session": session, "code": code}
        call = self._submit({**request, "fresh": fresh}, timeout, sink=taken.chunk)
        answer = await call.answered()
        value, error = text_of(answer, "value"), text_of(answer, "error")
        if answer["t"] == "error":
            error = text_of(answer, "traceback")
        return CodeResult(taken.text("stdout"), taken.text("stderr"), value, error, call.usage)

    async def close(self) -> None:
        self._stop(WorkerGone("the Worker was closed"))
        try:
            await self._link.wait()
        except SandboxError:
            return

    def abandon(self, call: Call) -> None:
        """Nobody waits for ``call`` any more: the Worker is ended, if it runs it."""
        if call is self._current:
            self._current = None
            self._stop(WorkerGone("the Worker was ended with the call that it ran"))
        elif call in self._waiting:
            self._waiting.remove(call)
        call.fail(asyncio.CancelledError())

    def _submit(
        self,
        request: dict[str, Any] | None,
        timeout: float | None,
        source: str | None = None,
        sink: Callable[[OutputChunk], None] | None = None,
    ) -> Call:
        # What its answer has to bear cannot be known before the call: none can be sent ahead of it.
        number = self._numbers.pop() if self._numbers else self._drawn()
        call = Call(self, timeout, sink, number)
        if request is not None:
            request["id"] = number
            if source is not None:
                self._refer(call, request, source)
            try:
                call.data = frames.pack(request)
            except (TypeError, frames.FrameError) as error:
                refused = InvalidInputError(f"the arguments cannot be sent: {error}")
                refused.__cause__ = error
                call.fail(refused)
                return call
        if self._closed:
            self._bury([call])
        elif self._current is None:
            self._begin(call)
        else:
            self._waiting.append(call)
        return call

    def _drawn(self) -> int:
        self._numbers = list(_NUMBERS.unpack(os.urandom(_NUMBERS.size)))
        return self._numbers.pop()

    def _begin(self, call: Call) -> None:
        self._current = call
        self._watch_time(call.timeout)
        if self._greeted:
            self._ask(call)

    def _ask(self, call: Call) -> None:
        if call.data is None:  # it only wanted the greeting
            self._conclude(call, {"t": "done"}, Usage)
            return
        if call.source:
            self._sent.add(call.source)
        self._items_left = self._max_frame
        self._link.begin(call.chunk)
        self._link.send(call.data)
        call.data = None

    def _refer(self, call: Call, request: dict[str, Any], source: str) -> None:
        """Name a text by a number, and send it along until it has been sent once."""
        number = self._sources.get(source)
        if number is None:
            if len(self._sources) >= _MAX_SOURCES:
                del self._sources[next(iter(self._sources))]
            self._texts += 1
            number = self._sources[source] = self._texts
        call.source = request["text"] = number
        if number not in self._sent:
            request["source"] = source

    def _watch_time(self, timeout: float | None) -> None:
        """Have ``_late`` called when the time of the call that begins is up. One timer goes on
        through many calls, and is only set anew when it would come too late."""
        most = self._link.limits.wall_seconds
        if timeout is None or (most is not None and most < timeout):
            timeout = most
        self._seconds = timeout
        if timeout is None:
            self._deadline = None
            return
        self._deadline = deadline = self._loop.time() + timeout
        if self._timer is None or self._timer.when() > deadline:
            self._set_timer(deadline)

    def _set_timer(self, when: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if when is None else self._loop.call_at(when, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._current is None or self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            seconds = self._seconds
            self._stop(SandboxTimeout(f"it ran longer than {seconds:g} s, and was ended"))

    def _received(self, data: bytes) -> None:
        """Take what came apart into frames."""
        if self._closed:
            return
        try:
            if self._part:
                self._part += data
                taken = self._frames(self._part)
                del self._part[:taken]
            elif (taken := self._frames(data)) < len(data):
                self._part += data[taken:]
        except frames.FrameError as error:
            self._stop(WorkerProtocolError(f"the Worker was ended: {error}"))
        except Exception as error:  # of whoever was given the output
            if self._current is not None:
                self._current.fail(error)
            self._stop(WorkerGone("the Worker was ended with the call that it ran"))

    def _frames(self, data: bytes | bytearray) -> int:
        """Take in the frames that are whole; gives how many bytes they were."""
        start, total = 0, len(data)
        while total - start >= _HEAD and not self._closed:
            (size,) = frames.LENGTH.unpack_from(data, start)
            if size > self._max_frame + 1024:
                raise frames.FrameError(f"it sent a frame of {size} bytes")
            end = start + _HEAD + size
            if end > total:
                break
            self._frame(frames.unpack(data[start + _HEAD : end]), size)
            start = end
        return start

    def _frame(self, message: dict[str, Any], size: int) -> None:
        if not self._greeted:
            self._hear_hello(message)
            return
        call, kind, answered = self._current, message["t"], message.get("id")
        if call is None:
            raise frames.FrameError("it said something that nobody had asked for")
        if type(answered) is not int or answered != call.number:
            raise frames.FrameError(f"it answered request {answered!r:.50}, not this one")
        if kind == "item":
            self._items_left -= size
            if self._items_left < 0:
                self._stop(OutputLimit("the items are more than output_bytes allows"))
            else:
                call.item(message.get("value"))
        elif kind in _ENDS:
            try:
                usage = self._link.finish()
            except EOFError:
                self._lost()
            else:
                self._conclude(call, message, usage)
        else:
            raise frames.FrameError(f"it sent a frame of kind {kind!r:.50}")

    def _hear_hello(self, message: dict[str, Any]) -> None:
        if message["t"] != "hello" or message.get("version") != frames.VERSION:
            raise frames.FrameError("it did not begin with the hello of this version")
        self._python = text_of(message, "python") or ""
        self._greeted = True
        if self._current is not None:
            self._ask(self._current)

    def _conclude(self, call: Call, answer: dict[str, Any], usage: Callable[[], Usage]) -> None:
        self._current = None
        call.conclude(answer, usage)
        if self._waiting:
            self._begin(self._waiting.popleft())

    def _stop(self, reason: SandboxError) -> None:
        """End the Worker, because of ``reason``, if it has not ended before."""
        self._link.end(reason)
        self._lost()

    def _lost(self) -> None:
        """Nothing will come any more: tell all who wait, when it is known why."""
        if self._closed:
            return
        self._closed = True
        self._set_timer(None)
        self._part.clear()
        calls = [*self._waiting] if self._current is None else [self._current, *self._waiting]
        self._current = None
        self._waiting.clear()
        if calls:
            self._bury(calls)

    def _bury(self, calls: Sequence[Call]) -> None:
        task = self._loop.create_task(self._fail(calls))
        self._burials.add(task)
        task.add_done_callback(self._burials.discard)

    async def _fail(self, calls: Sequence[Call]) -> None:
        try:
            await self._gone()
        except Exception as error:
            for call in calls:
                call.fail(error)

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
