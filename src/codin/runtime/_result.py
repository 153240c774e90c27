"""The run of a workload as a task: its output as it comes, and its end as data."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from codin.runtime.base import Artifact, RunFailure, RuntimeFailure, RuntimeResult
from codin.sandbox.errors import LimitExceeded, RemoteError, SandboxError
from codin.sandbox.outcome import OutputChunk, Usage

T = TypeVar("T")


@dataclass(slots=True)
class Outcome:
    """What a backend says of a run that it has finished."""

    value: Any = None
    exit_code: int | None = None
    usage: Usage = field(default_factory=Usage)
    failure: RunFailure | None = None
    limits_hit: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    attempts: int = 1

    @classmethod
    def of_error(cls, error: SandboxError | RuntimeFailure) -> Outcome:
        """What ``error`` means for the run that it ended."""
        hit = (error.limit,) if isinstance(error, LimitExceeded) else ()
        return cls(failure=failure_of(error), limits_hit=hit)


class Sink:
    """Where a run's output and items go as they come; all of it is kept for whoever comes late."""

    def __init__(self) -> None:
        self.chunks: list[OutputChunk] = []
        self.items: list[Any] = []
        self.ended = False
        self._news = asyncio.Event()

    def chunk(self, chunk: OutputChunk) -> None:
        self.chunks.append(chunk)
        self._tell()

    def item(self, item: Any) -> None:
        self.items.append(item)
        self._tell()

    def end(self) -> None:
        """Nothing comes any more."""
        self.ended = True
        self._tell()

    async def follow(self, kept: Sequence[T]) -> AsyncIterator[T]:
        """``kept`` (the chunks or the items) from its beginning, and on until the end."""
        given = 0
        while True:
            while given < len(kept):
                given += 1
                yield kept[given - 1]
            if self.ended:
                return
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


Work = Callable[[Sink], Awaitable[Outcome]]


class RunningResult(RuntimeResult):
    """A result that fills itself: ``work`` is started at once, and given where output goes."""

    def __init__(self, work: Work) -> None:
        self._sink = Sink()
        self._fill(Outcome())
        self._begun = False
        self._task = asyncio.create_task(self._run(work))
        self._task.add_done_callback(lambda _: self._sink.end())

    @property
    def stdout(self) -> bytes:  # type: ignore[override]
        return self._joined("stdout")

    @property
    def stderr(self) -> bytes:  # type: ignore[override]
        return self._joined("stderr")

    @property
    def ended(self) -> bool:
        return self._task.done()

    def output(self) -> AsyncIterator[OutputChunk]:
        return self._sink.follow(self._sink.chunks)

    def items(self) -> AsyncIterator[Any]:
        return self._sink.follow(self._sink.items)

    async def done(self) -> RuntimeResult:
        await asyncio.shield(self._task)
        return self

    async def cancel(self) -> None:
        if not self._begun:
            await asyncio.sleep(0)  # what it was given is let go of by the work itself
        self._task.cancel()
        await asyncio.wait([self._task])

    def _joined(self, stream: str) -> bytes:
        return b"".join(chunk.data for chunk in self._sink.chunks if chunk.stream == stream)

    def _fill(self, outcome: Outcome) -> None:
        self.value, self.exit_code = outcome.value, outcome.exit_code
        self.usage, self.failure = outcome.usage, outcome.failure
        self.limits_hit, self.artifacts = outcome.limits_hit, outcome.artifacts
        self.attempts = outcome.attempts

    async def _run(self, work: Work) -> None:
        self._begun = True
        try:
            self._fill(await work(self._sink))
        except (SandboxError, RuntimeFailure) as error:
            self._fill(Outcome.of_error(error))
        except asyncio.CancelledError:
            self.failure = RunFailure("Cancelled", "the run was cancelled")
            raise


async def complete(result: RunningResult) -> RunningResult:
    """Wait for the end; a caller that is cancelled takes the run with it."""
    try:
        await result.done()
    except asyncio.CancelledError:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(result.cancel())
        raise
    return result


def failure_of(error: SandboxError | RuntimeFailure) -> RunFailure:
    """An error of the sandbox as data; one that code inside raised keeps its own name."""
    if isinstance(error, RemoteError):
        return RunFailure(error.type_name, error.message, error.remote_traceback)
    return RunFailure(type(error).__name__, str(error))
