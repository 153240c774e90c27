"""What the tests of models share."""

from __future__ import annotations

import pytest

from codin.model import CallContext, MemoryMeter
from codin.security import LOCAL_USER


@pytest.fixture
def context() -> CallContext:
    return CallContext(LOCAL_USER, "task-1")


@pytest.fixture
def meter() -> MemoryMeter:
    return MemoryMeter()
