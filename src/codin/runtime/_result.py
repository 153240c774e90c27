"""The run of a workload as a task: its output as it comes, and its end as data."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from codin.runtime.base import RunFailure, RuntimeResult
from codin.sandbox.errors import LimitExceeded, RemoteError, SandboxError
from codin.sandbox.outcome import OutputChunk, Usage


@dataclass(slots=True)
class Outcome:
    """What a backend says of a run that it has finished."""

    value: Any = None
    exit_code: int | None = None
    usage: Usage = field(default_factory=Usage)
    failure: RunFailure | None = None


Emit = Callable[[OutputChunk], None]
Work = Callable[[Emit], Awaitable[Outcome]]


class RunningResult(RuntimeResult):
    """A result that fills itself: ``work`` is started at once, and given where output goes."""

    def __init__(self, work: Work) -> None:
        self.value = None
        self.exit_code = None
        self.usage = Usage()
        self.failure = None
        self.limits_hit = ()
        self._chunks: list[OutputChunk] = []
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(work))

    @property
    def stdout(self) -> bytes:  # type: ignore[override]
        return b"".join(chunk.data for chunk in self._chunks if chunk.stream == "stdout")

    @property
    def stderr(self) -> bytes:  # type: ignore[override]
        return b"".join(chunk.data for chunk in self._chunks if chunk.stream == "stderr")

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def output(self) -> AsyncIterator[OutputChunk]:
        given = 0
        while True:
            while given < len(self._chunks):
                given += 1
                yield self._chunks[given - 1]
            if self._task.done():
                return
            news = self._news
            await news.wait()

    async def done(self) -> RuntimeResult:
        await asyncio.shield(self._task)
        return self

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def _emit(self, chunk: OutputChunk) -> None:
        self._chunks.append(chunk)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _run(self, work: Work) -> None:
        try:
            outcome = await work(self._emit)
        except SandboxError as error:
            outcome = Outcome(failure=failure_of(error))
            self.limits_hit = (error.limit,) if isinstance(error, LimitExceeded) else ()
        except asyncio.CancelledError:
            self.failure = RunFailure("Cancelled", "the run was cancelled")
            raise
        finally:
            self._task.add_done_callback(lambda _: self._tell())
        self.value, self.exit_code = outcome.value, outcome.exit_code
        self.usage, self.failure = outcome.usage, outcome.failure


async def complete(result: RunningResult) -> RunningResult:
    """Wait for the end; a caller that is cancelled takes the run with it."""
    try:
        await result.done()
    except asyncio.CancelledError:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(result.cancel())
        raise
    return result


def failure_of(error: SandboxError) -> RunFailure:
    """An error of the sandbox as data; one that code inside raised keeps its own name."""
    if isinstance(error, RemoteError):
        return RunFailure(error.type_name, error.message, error.remote_traceback)
    return RunFailure(type(error).__name__, str(error))
