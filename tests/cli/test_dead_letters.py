"""`codin tasks dead-letters`: what receivers did not take, of the caller alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from codin.cli.tasks import tasks
from codin.config import load_settings
from codin.database import database_at
from codin.security import LOCAL_USER, Principal
from codin.task.push import DeadLetter, PushConfig
from codin.task.push.stored import StoredPushConfigs


async def _fill(home: Path) -> None:
    home.mkdir()
    place = load_settings(home=home).database_place
    async with database_at(place) as database:
        store = await StoredPushConfigs.over(database)
        for who in (LOCAL_USER, Principal("other", "ann")):
            for number in (1, 2):
                task = f"{who.tenant}-{number}"
                url = f"https://x.example/{task}"
                await store.put(who, PushConfig("c", task, url), after=0, most=5)
        for claim in await store.claim("me", 60.0, lambda _: False):
            letter = DeadLetter(
                claim.config.task_id, "c", 7, claim.config.url, "no answer", 503, 4, 1.5, 2.5
            )
            assert await store.advance(claim, 7, letter=letter)
        await store.close()


def test_ones_own_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("CODIN_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    asyncio.run(_fill(home))
    shown = CliRunner().invoke(tasks, ["dead-letters"])
    assert shown.exit_code == 0, shown.output
    assert "other-" not in shown.output
    lines = CliRunner().invoke(tasks, ["dead-letters", "--json"]).output.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["task_id"] for row in rows} == {"local-1", "local-2"}
    assert {(row["seq"], row["status"], row["attempts"]) for row in rows} == {(7, 503, 4)}
    latest = CliRunner().invoke(tasks, ["dead-letters", "--json", "--limit", "1"]).output
    assert json.loads(latest) == rows[0]
