"""A clock to be set, a store in a folder of its own, and databases of both kinds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from security_people import Clock

from codin.database import Database, open_database
from codin.security import SecurityStore
from codin.testing.postgres import PostgresServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SecurityStore]:
    store = SecurityStore(tmp_path / "home", clock=clock)
    yield store
    await store.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An open database, with nothing in it."""
    if request.param == "sqlite":
        async with await open_database(tmp_path / "data" / "codin.db") as made:
            yield made
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url:
        async with await open_database(url) as made:
            yield made
