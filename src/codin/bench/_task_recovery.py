"""How long it takes until the tasks of a process that was killed have ended."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from codin.bench._pairs import Pair, at_most
from codin.bench._programs import complaints, program
from codin.bench.base import BenchError

if TYPE_CHECKING:
    from codin.bench._task_house import House
    from codin.bench.tasks import Effort

_MOST_SECONDS = 5
_GIVE_UP_SECONDS = 300.0
_LOOK_SECONDS = 0.02


@asynccontextmanager
async def recovery(effort: Effort) -> AsyncIterator[list[Pair]]:
    """Tasks that were left behind, beside as many that are begun anew."""
    with tempfile.TemporaryDirectory(prefix="cb-") as name:
        numbers = count(1)
        yield [
            Pair(
                *("recover 1000", "s", partial(_recovered, Path(name), numbers, effort.left)),
                *("new tasks", partial(_begun, Path(name), numbers, effort.left)),
                at_most(_MOST_SECONDS, "s"),
            )
        ]


async def _recovered(folder: Path, numbers: count[int], left: int) -> float:
    """Seconds from the start of a process that finds the tasks of a killed one to their end."""
    from codin.bench._task_house import house
    from codin.database import SqliteDatabase

    file = folder / f"left-{next(numbers)}.db"
    await _leave(file, folder / "left.log", left)
    began = time.perf_counter()
    async with SqliteDatabase(file) as database, house(database) as ours:
        await ours.manager.start()
        await _ended(ours, left)
        return time.perf_counter() - began


async def _begun(folder: Path, numbers: count[int], tasks: int) -> float:
    """Seconds that as many tasks take which are begun anew."""
    from codin.bench._task_house import house
    from codin.database import SqliteDatabase

    began = time.perf_counter()
    file = folder / f"new-{next(numbers)}.db"
    async with SqliteDatabase(file) as database, house(database) as ours:
        for _ in range(tasks):
            await ours.begin()
        await _ended(ours, tasks)
        return time.perf_counter() - began


async def _leave(file: Path, log: Path, left: int) -> None:
    """Have a process begin tasks in the log ``file``, and kill it."""
    arguments = ("-m", "codin.bench._task_left", str(file), str(left))
    async with program(arguments, log) as process:
        assert process.stdout is not None
        said = await process.stdout.readline()
        if not said:
            raise BenchError(f"tasks could not be begun: {complaints(log)}")
        process.kill()
        await process.wait()


async def _ended(ours: House, tasks: int) -> None:
    """Return when all of ``tasks`` have ended.

    Raises:
        BenchError: they have not, or are others.
    """
    try:
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            while await ours.log.unfinished(limit=1):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise BenchError(f"tasks have not ended within {_GIVE_UP_SECONDS:g} s") from None
    from codin.security import LOCAL_USER

    total = (await ours.log.tasks(LOCAL_USER, limit=1)).total
    if total != tasks:
        raise BenchError(f"there are {total} tasks, not {tasks}")
