"""The Postgres server that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from codin.testing.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    from codin.testing.postgres import postgres_server  # only who asks for it needs a driver

    with postgres_server() as server:
        yield server
