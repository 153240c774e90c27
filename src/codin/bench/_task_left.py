"""Begins tasks that do not come to an end, says so, and waits to be killed. A program of its own;
its arguments are the file of the log and how many."""

from __future__ import annotations

import asyncio
import sys

from codin.bench._task_house import house
from codin.database import SqliteDatabase


async def main(file: str, count: int) -> None:
    """Begin ``count`` tasks in the log ``file``."""
    async with SqliteDatabase(file) as database, house(database, holding=True) as ours:
        for _ in range(count):
            await ours.begin()
        print(f"{count} tasks are at work", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
