"""One log file, several processes: who opens and closes it takes nothing from the others."""

import subprocess
import sys
from pathlib import Path

from codin.security import LOCAL_USER
from codin.task import SqliteEventLog
from codin.task.log.base import NewTask
from codin.testing.log_conformance import submitted

VISIT = """
import asyncio, sys
from codin.security import LOCAL_USER
from codin.task import SqliteEventLog

async def visit():
    log = await SqliteEventLog.open(sys.argv[1])
    print((await log.tasks(LOCAL_USER)).total)
    await log.close()

asyncio.run(visit())
"""


def visit(path: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", VISIT, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


async def test_a_visitor_leaves_the_log_to_who_works_in_it(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    log = await SqliteEventLog.open(path)
    try:
        for number in range(3):
            await log.create(
                LOCAL_USER,
                NewTask(f"t{number}", "c", "agent", f"t{number}", None),
                submitted(f"t{number}"),
                owner="me",
                ttl=60,
            )
            # Reading opens connections of its own, each time in another state of the file.
            assert (await log.tasks(LOCAL_USER)).total == number + 1
            assert visit(path) == number + 1
            assert Path(f"{path}-wal").exists()
        assert [event.seq for event in await log.read(LOCAL_USER, "t0")] == [1]
    finally:
        await log.close()


async def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tasks.db"
    await (await SqliteEventLog.open(path)).close()
    assert path.stat().st_mode & 0o077 == 0
