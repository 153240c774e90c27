"""Goals whose workers are killed, stopped and cut off; `make prove` does so two hundred times."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from codin.testing.chaos import ChaosProof, Report
from codin.testing.chaos.proof import dump
from codin.testing.postgres import postgres_server

pytestmark = pytest.mark.slow


async def _proved(proof: ChaosProof) -> Report:
    async with asyncio.timeout(240):
        report = await proof.run()
    assert report.holds, dump(report)
    assert report.found.effects == report.found.completed * 10
    assert report.found.attempts > report.found.tasks, "some runs were made again"
    return report


async def test_goals_survive_over_sqlite(tmp_path: Path) -> None:
    place = str(tmp_path / "tasks.db")
    await _proved(ChaosProof("sqlite", place, tmp_path, workers=1, goals=8, kills=5))


async def test_goals_survive_over_postgres_by_three_workers(tmp_path: Path) -> None:
    with postgres_server() as server, server.database() as place:
        proof = ChaosProof(
            "postgres", place, tmp_path, workers=3, goals=12, kills=10, restart=server.restart
        )
        report = await _proved(proof)
    assert report.befell["database restarted"] == 1
    assert report.befell["stopped and continued"] == 1
