from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from codin.security import RunGrants
from codin.task import (
    AgentRequestHandler,
    AgentWork,
    EventLog,
    PostgresEventLog,
    RunServices,
    SqliteEventLog,
    TaskRunner,
)
from codin.testing.postgres import PostgresServer
from codin.testing.tasks import Events, SmallAgent


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The connection string of an empty Postgres database."""
    with postgres.database() as url:
        yield url


Open = Callable[[], Awaitable[EventLog]]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
async def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a log over the test's database, as another process would."""
    # Asked for before anything is opened, so that it is dropped after all is closed.
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    async with AsyncExitStack() as stack:

        async def open_it() -> EventLog:
            log: EventLog
            if url is not None:
                log = await PostgresEventLog.open(url)
            else:
                log = await SqliteEventLog.open(tmp_path / "codin.db")
            stack.push_async_callback(log.close)
            return log

        yield open_it


@pytest.fixture
async def log(open_log: Open) -> EventLog:
    return await open_log()


@pytest.fixture
async def runner(log: EventLog) -> AsyncIterator[TaskRunner]:
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
