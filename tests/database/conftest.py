"""Databases of both kinds."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from codin.database import Database, database_at
from codin.testing.postgres import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """The connection string of an empty Postgres database."""
    with postgres.database() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no database yet, or an empty one."""
    if request.param == "sqlite":
        return str(tmp_path / "data" / "codin.db")
    return str(request.getfixturevalue("url"))


@pytest.fixture
async def at_place(place: str) -> AsyncIterator[Callable[[], Database]]:
    """Makes a database over the test's place, as another process would."""
    async with AsyncExitStack() as stack:

        def make() -> Database:
            database = database_at(place)
            stack.push_async_callback(database.close)
            return database

        yield make


@pytest.fixture
def database(at_place: Callable[[], Database]) -> Database:
    return at_place()
