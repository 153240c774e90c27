from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder for Unix sockets, whose paths have to be short; pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="codin-") as name:
        yield Path(name)
