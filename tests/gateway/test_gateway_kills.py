"""A gateway that is killed under load; `make prove` does so fifty times a store, with hosts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from codin.testing.kills import KillProof, Store
from codin.testing.postgres import PostgresServer

pytestmark = pytest.mark.slow


async def _proved(store: Store, place: str, folder: Path) -> None:
    proof = KillProof(store, place, folder, kills=5, streams=30, hosts=False)
    async with asyncio.timeout(240):
        report = await proof.run()
    assert report.holds, report.json()
    assert report.kills == 5
    assert set(report.where) == {"append", "commit", "notify", "acknowledgement", "any"}
    assert report.acknowledged > 50
    assert report.events_seen > 200
    assert report.broken > 100
    assert report.states["TASK_STATE_COMPLETED"] > 10
    assert "TASK_STATE_FAILED" not in report.states


async def test_a_gateway_over_sqlite_loses_nothing(tmp_path: Path) -> None:
    await _proved("sqlite", str(tmp_path / "tasks.db"), tmp_path)


async def test_a_gateway_over_postgres_loses_nothing(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with postgres.database() as url:
        await _proved("postgres", url, tmp_path)
