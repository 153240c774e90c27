from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codin.security import RunGrants
from codin.task import AgentRequestHandler, AgentWork, RunServices, SqliteEventLog, TaskRunner
from codin.testing.postgres import PostgresServer, postgres_server
from codin.testing.tasks import Events, SmallAgent


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The connection string of an empty Postgres database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
    log = await SqliteEventLog.open(tmp_path / "codin.db")
    yield log
    await log.close()


@pytest.fixture
async def runner(log: SqliteEventLog) -> AsyncIterator[TaskRunner]:
    runner = TaskRunner(log, grace_seconds=0.5, pulse_seconds=0.1, lease_seconds=5.0)
    yield runner
    await runner.aclose()


@pytest.fixture
def serve(runner: TaskRunner) -> Callable[..., AgentRequestHandler]:
    """Makes the handler of an agent that an async generator function is."""

    def make(events: Events, *, seconds: float = 30.0, **services: Any) -> AgentRequestHandler:
        agent = SmallAgent(events)
        given = RunServices(grants=services.pop("grants", RunGrants()), seconds=seconds, **services)
        work = AgentWork(agent, agent.info, given)
        return AgentRequestHandler(agent.id, lambda _: work, runner)

    return make
