"""`codin tasks collect`: what nothing refers to goes, and only that."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from codin.cli.tasks import tasks
from codin.config import load_settings
from codin.database import database_at
from codin.security import LOCAL_USER
from codin.task.log import Entry, NewTask, open_log


async def _fill(home: Path) -> None:
    home.mkdir()
    async with database_at(load_settings(home=home).database_place) as database:
        log = await open_log(database)
        assert log.artifacts is not None
        message = {"messageId": "m", "parts": [{"text": "kept " * 20_000}]}
        state = {"state": "TASK_STATE_COMPLETED"}
        entry = Entry("task", {"id": "t", "status": state, "history": [message]})
        await log.create(LOCAL_USER, NewTask("t", "c", "a", "t"), entry, owner="w", ttl=1)
        await log.artifacts.store.put(b"left behind")
        await log.close()
    for file in (home / "tasks.db-artifacts").rglob("*"):
        os.utime(file, (1.0, 1.0))


def test_what_no_task_refers_to_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("CODIN_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    asyncio.run(_fill(home))
    done = CliRunner().invoke(tasks, ["collect", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == {"contents": 1, "bytes": 11}
    shown = CliRunner().invoke(tasks, ["show", "t", "--json"])
    assert json.loads(shown.output)["history"][0]["parts"][0]["text"] == "kept " * 20_000
    assert CliRunner().invoke(tasks, ["collect", "--days", "0.001"]).exit_code == 2
