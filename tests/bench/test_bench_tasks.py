"""`codin bench tasks`: that it measures what it says, and what it does when something is wrong."""

import json
import subprocess
import sys

import pytest

from codin.bench import BenchError, _task_goals, _task_others, _task_recovery, tasks
from codin.bench._pairs import NotHere
from codin.bench._task_house import house
from codin.bench._task_others import other
from codin.bench.tasks import QUICK
from codin.database import SqliteDatabase
from codin.security import LOCAL_USER
from codin.task.log.rows import TaskFilter

pytestmark = pytest.mark.slow


def test_it_measures_and_prints_what_programs_read(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "codin", "bench", "tasks", "--quick", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "tasks"
    assert report.get("unavailable", []) == []
    rows = {row["metric"]: row for row in report["results"]}
    assert rows.keys() == {name for names in tasks._GROUPS.values() for name in names}
    for row in rows.values():
        assert row["value"] > 0
        assert row["baseline_value"] > 0
    assert rows["dag 10000"]["baseline"] == "dag 1000"
    assert rows["step overhead sqlite"]["unit"] == rows["dag 1000"]["unit"] == "ms"


async def test_a_goal_has_all_of_its_steps_done(tmp_path):
    async with SqliteDatabase(tmp_path / "tasks.db") as database, house(database) as ours:
        await ours.dag(25)
        (goal,) = (await ours.log.tasks(LOCAL_USER, TaskFilter(roots=True))).tasks
        steps = await ours.log.steps(LOCAL_USER, goal.task_id)
        assert [step.state for step in steps] == ["completed"] * 25
        assert [step.needs for step in steps[9:12]] == [(), ("s0", "s1"), ("s1", "s2")]
        page = await ours.log.tasks(LOCAL_USER, TaskFilter(agent_id="bench"), limit=100)
        assert page.total == 25


async def test_a_goal_that_is_not_done_is_no_figure(tmp_path):
    async with SqliteDatabase(tmp_path / "tasks.db") as database, house(database) as ours:
        with pytest.raises(BenchError, match="'chain 0' was not done: TASK_STATE_FAILED"):
            await ours.chain(0)


async def test_tasks_that_are_not_all_there_are_no_figure(tmp_path):
    async with SqliteDatabase(tmp_path / "tasks.db") as database, house(database) as ours:
        await ours.begin()
        with pytest.raises(BenchError, match="there are 1 tasks, not 2"):
            await _task_recovery._ended(ours, 2)


async def test_what_cannot_be_installed_is_said(tmp_path):
    what = ("_task_dbos.py", ("no-such-package-of-codin>=1",))
    with pytest.raises(NotHere, match="no-such-package-of-codin>=1 cannot be had"):
        async with other(what, "x", tmp_path):
            pass


async def test_a_program_that_fails_is_no_figure(tmp_path):
    place = f"sqlite:///{tmp_path}/no/such/folder.db"
    async with other(_task_others.DBOS, place, tmp_path) as dbos:
        with pytest.raises(BenchError, match=r"steps 3 failed: [\s\S]* open database file"):
            await dbos.asked("steps", 3)()


async def test_without_a_postgres_the_rest_is_measured(monkeypatch):
    monkeypatch.setattr(_task_goals, "find_spec", lambda name: None)
    with pytest.raises(NotHere, match="pip install psycopg"):
        async with _task_goals.in_postgres(QUICK):
            pass
