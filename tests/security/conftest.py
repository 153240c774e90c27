"""A clock to be set, and a store in a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from security_people import Clock

from codin.security import SecurityStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SecurityStore]:
    store = SecurityStore(tmp_path / "home", clock=clock)
    yield store
    await store.close()
