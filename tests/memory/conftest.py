"""Databases of the server that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from codin.testing.postgres import PostgresServer
    from codin.testing.redis import RedisServer


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The connection string of an empty Postgres database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def kept_database(postgres: PostgresServer) -> Iterator[str]:
    """The same, for a module whose tests leave it empty."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    from codin.testing.redis import redis_server

    with redis_server() as server:
        yield server
