"""Code that keeps its state between runs: contexts, each a process of its own in the sandbox."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from codin.gateway.e2b.errors import NotServed, NotThere, TooMany
from codin.sandbox.base import Sandbox
from codin.sandbox.errors import (
    OutputLimit,
    SandboxError,
    SandboxGone,
    WorkerGone,
    WorkerProtocolError,
)
from codin.sandbox.worker.base import Worker, WorkerCall

LANGUAGES = ("python", "bash")
MAX_CONTEXTS = 16
"""The most contexts of one sandbox."""

_AHEAD = 16 * 1024 * 1024
"""Bytes that are kept for a client that reads slower than its code prints."""

_INTERRUPT_SECONDS = 2.0
_FORMS = frozenset(
    {
        *("type", "is_main_result", "text", "html", "markdown", "svg", "png", "jpeg", "pdf"),
        *("latex", "json", "javascript", "data", "chart", "extra"),
    }
)
_PROGRAM = "_codin_worker._notebook"

Event = dict[str, Any]


def check_language(language: str) -> str:
    """``language``, which is one of those that run here.

    Raises:
        NotServed: it is not.
    """
    if language not in LANGUAGES:
        raise NotServed(
            f"language {language[:40]!r} is not implemented by this service: "
            f"it is one of {', '.join(LANGUAGES)}"
        )
    return language


class CodeContext:
    """One state of code. Runs of it wait for each other."""

    def __init__(self, sandbox: Sandbox, language: str, cwd: str, envs: Mapping[str, str]) -> None:
        self.id = secrets.token_hex(16)
        self._envs = envs
        self.language = language
        self.cwd = cwd
        self._sandbox = sandbox
        self._worker: Worker | None = None
        self._pid = 0
        self._count = 0
        self._turn = asyncio.Lock()
        self._over = False

    async def run(self, code: str, env: Mapping[str, str]) -> AsyncGenerator[Event, None]:
        """Run ``code``; gives what it prints and shows, as E2B's lines have it.

        When the reader leaves, the code is interrupted; what does not heed that is ended, and the
        state with it.
        """
        async with self._turn:
            self._count += 1
            yield {"type": "number_of_executions", "execution_count": self._count}
            worker = await self._ready()
            call = worker.call(f"{_PROGRAM}:run", [self.language, code, dict(env)])
            following, lost = _Following(call), False
            try:
                async for event in following.events():
                    yield event
            except SandboxError as error:
                if self._over:
                    raise SandboxGone("the sandbox has ended") from error
                lost = True
                yield _lost(error)
            finally:
                await asyncio.shield(self._settled(call, following, lost=lost))

    async def end(self) -> None:
        """The sandbox ends, and this with it."""
        self._over = True
        await self.close()

    async def close(self) -> None:
        """End its process; the next run begins anew."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    async def _ready(self) -> Worker:
        if self._worker is None:
            worker = await self._sandbox.worker()
            try:
                given = [self.language, self.cwd, dict(self._envs)]
                self._pid = await worker.call(f"{_PROGRAM}:begin", given)
            except BaseException:
                await worker.close()
                raise
            self._worker = worker
        return self._worker

    async def _settled(self, call: WorkerCall, following: _Following, *, lost: bool) -> None:
        """What is left of a run is interrupted, or ended."""
        if not following.over:
            with contextlib.suppress(Exception):
                await self._sandbox.exec(["kill", "-INT", str(self._pid)], cwd="/")
            await following.finished(_INTERRUPT_SECONDS)
        if lost or not following.over:
            await call.cancel()
            await self.close()
        await following.close()


def _lost(error: SandboxError) -> Event:
    """The process has ended, and the state with it: told as an error of the code.

    Raises:
        SandboxGone: the whole sandbox has.
    """
    if isinstance(error, SandboxGone) and not isinstance(error, WorkerGone):
        raise error
    name, value = type(error).__name__, f"{error}; what the context held is lost"
    return {"type": "error", "name": name, "value": value, "traceback": f"{name}: {value}"}


class _Following:
    """What a run of code prints and shows, in the order in which it comes."""

    def __init__(self, call: WorkerCall) -> None:
        self._call = call
        self._events: deque[Event] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._end = asyncio.ensure_future(self._run())
        self._end.add_done_callback(lambda _: self._news.set())

    @property
    def over(self) -> bool:
        return self._end.done()

    async def events(self) -> AsyncGenerator[Event, None]:
        while True:
            while self._events:
                event = self._events.popleft()
                self._held -= _size(event)
                yield event
            if self._end.done():
                self._end.result()
                return
            self._news.clear()
            await self._news.wait()

    async def finished(self, seconds: float) -> None:
        """Wait for its end, but no longer than so."""
        await asyncio.wait([self._end], timeout=seconds)

    async def close(self) -> None:
        self._end.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._end

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._output())
                group.create_task(self._items())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await self._call

    async def _output(self) -> None:
        decoders: dict[str, codecs.IncrementalDecoder] = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }
        async for chunk in self._call.output():
            self._put_text(chunk.stream, decoders[chunk.stream].decode(chunk.data))
        for name, decoder in decoders.items():
            self._put_text(name, decoder.decode(b"", final=True))

    async def _items(self) -> None:
        async for item in self._call.items():
            self._put(_checked(item))

    def _put_text(self, stream: str, text: str) -> None:
        if text:
            self._put({"type": stream, "text": text, "timestamp": time.time_ns()})

    def _put(self, event: Event) -> None:
        self._held += _size(event)
        if self._held > _AHEAD:
            raise OutputLimit("the code prints faster than its output is read")
        self._events.append(event)
        self._news.set()


def _checked(item: Any) -> Event:
    """What came from inside as something that was shown, or went wrong.

    Raises:
        WorkerProtocolError: it is neither.
    """
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "error":
        return {name: str(item.get(name, "")) for name in ("type", "name", "value", "traceback")}
    if kind == "result":
        return {name: item[name] for name in _FORMS & item.keys()}
    raise WorkerProtocolError("the process of the context sent what is no result")


def _size(event: Event) -> int:
    """About how much is held with an event."""
    return sum(len(value) for value in event.values() if isinstance(value, str | list | dict))


class Contexts:
    """The contexts of one sandbox. Each language has one that is used when none is named."""

    def __init__(self, sandbox: Sandbox, envs: Mapping[str, str], home: str) -> None:
        self._sandbox = sandbox
        self._envs = envs
        self._home = home
        self._contexts: dict[str, CodeContext] = {}
        self._default: dict[str, CodeContext] = {}

    def all(self) -> Sequence[CodeContext]:
        """All of them."""
        return list(self._contexts.values())

    def create(self, language: str, cwd: str | None) -> CodeContext:
        """A new one.

        Raises:
            NotServed: code of that language does not run here.
            TooMany: there are as many as there may be.
        """
        check_language(language)
        if len(self._contexts) >= MAX_CONTEXTS:
            raise TooMany(f"a sandbox has {MAX_CONTEXTS} contexts: remove one first")
        context = CodeContext(self._sandbox, language, cwd or self._home, self._envs)
        self._contexts[context.id] = context
        return context

    def default(self, language: str) -> CodeContext:
        """The one of a language. Raises as ``create``."""
        found = self._default.get(check_language(language))
        if found is None or found.id not in self._contexts:
            found = self._default[language] = self.create(language, None)
        return found

    def find(self, identity: str) -> CodeContext:
        """One by its id. Raises ``NotThere``."""
        if identity not in self._contexts:
            raise NotThere(f"Context {identity[:100]} not found")
        return self._contexts[identity]

    async def remove(self, identity: str) -> None:
        """End one. Raises ``NotThere``."""
        context = self.find(identity)
        del self._contexts[identity]
        await context.close()

    async def close(self) -> None:
        """End all of them, with their sandbox."""
        for context in list(self._contexts.values()):
            await context.end()
