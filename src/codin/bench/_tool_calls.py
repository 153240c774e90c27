"""Calls of functions in this process: through the executor, and by themselves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from codin.bench._pairs import US, Pair, at_most, over_baseline, timed

if TYPE_CHECKING:
    from codin.sandbox.base import SandboxProvider
    from codin.security import RunGrant
    from codin.tool import RunnableTool, Tool, ToolExecutor

_BATCH = 50
_MOST_US = 100
_TEXT, _TIMES = "quick brown fox", 2
_EXPECTED = "quick brown foxquick brown fox"


class Effort(Protocol):
    """How often something is called in a round."""

    @property
    def calls(self) -> int:
        """Calls of one kind."""
        ...


def repeat(text: str, times: int = 1) -> str:
    """Repeat a text.

    Args:
        text: what to repeat
        times: how often
    """
    return text * times


async def repeat_later(text: str, times: int = 1) -> str:
    """Repeat a text, as a coroutine.

    Args:
        text: what to repeat
        times: how often
    """
    return text * times


@asynccontextmanager
async def calls(effort: Effort) -> AsyncIterator[list[Pair]]:
    """What the executor adds to a call: permission, schema, policies, limits, and its record."""
    async with _bound() as (later, plain):
        yield [
            Pair(
                "executor overhead",
                "us",
                partial(_typical, effort.calls, lambda: later.invoke(text=_TEXT, times=_TIMES)),
                "function",
                partial(_typical, effort.calls, lambda: repeat_later(_TEXT, times=_TIMES)),
                at_most(_MOST_US, "us"),
            ),
            Pair(
                "executor, thread",
                "us",
                partial(_typical, effort.calls, lambda: plain.invoke(text=_TEXT, times=_TIMES)),
                "thread",
                partial(_typical, effort.calls, _in_thread),
                over_baseline(_MOST_US, "us"),
            ),
        ]


@asynccontextmanager
async def _bound() -> AsyncIterator[tuple[Tool, Tool]]:
    """The coroutine and the function as tools of a run."""
    from codin.sandbox.local import LocalSandboxProvider
    from codin.tool import FunctionTool

    functions: list[Callable[..., Any]] = [repeat_later, repeat]
    tools = [FunctionTool.from_function(one, trusted=True) for one in functions]
    provider = LocalSandboxProvider()
    try:
        with TemporaryDirectory() as folder:
            executor = executor_of(provider, Path(folder), tools)
            bound = {tool.name: tool for tool in executor.bind(grant_of(tools))}
            yield bound["repeat_later"], bound["repeat"]
    finally:
        await provider.close()


def executor_of(
    provider: SandboxProvider, folder: Path, tools: Sequence[RunnableTool]
) -> ToolExecutor:
    """An executor of ``tools`` as the platform has it, with workspaces in ``folder``."""
    from codin.runtime.local import LocalRuntime
    from codin.security import DEFAULT_ROLES, RoleAuthorizer
    from codin.tool import GoalSandboxes, ToolExecutor, ToolRegistry, Workspaces

    return ToolExecutor(
        ToolRegistry(RoleAuthorizer(DEFAULT_ROLES), tools),
        runtime=LocalRuntime(provider),
        sandboxes=GoalSandboxes(provider, Workspaces(folder)),
        sink=_unwatched,
    )


def grant_of(tools: Sequence[RunnableTool]) -> RunGrant:
    """A run that may call ``tools``."""
    from codin.security import LOCAL_USER, RunGrant

    names = frozenset(tool.name for tool in tools)
    return RunGrant("task", "goal", "context", "agent", LOCAL_USER, names, _far())


async def _unwatched(grant: object, event: object) -> None:
    """Takes the live output of calls that have none."""


def _far() -> float:
    return time.time() + 3600


async def _in_thread() -> str:
    import anyio.to_thread

    work = partial(repeat, _TEXT, times=_TIMES)
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


async def _typical(calls: int, call: Callable[[], Awaitable[Any]]) -> float:
    """Microseconds of a call, p50: the clock is looked at for some calls together."""
    batches = max(calls // _BATCH, 1)

    async def batch() -> Any:
        for _ in range(_BATCH - 1):
            await call()
        return await call()

    return median([await timed(batch, _EXPECTED) for _ in range(batches)]) / _BATCH * US
