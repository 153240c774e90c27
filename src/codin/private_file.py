"""Database files: readable by their user only, and opened by one at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def opening(path: Path) -> Iterator[None]:
    """Make the database file private, and let nobody else open it this way meanwhile.

    Two connections that turn on SQLite's write-ahead log at the same time are not made to wait:
    one of them fails with "database is locked", whatever its timeout. The lock is on the folder,
    not on the file, for the reason that `make_private` gives. Blocks: not for the event loop.
    """
    make_private(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make_private(path: Path) -> None:
    """Make the empty file ``path``, readable by its user only, unless it is there.

    An existing file is never opened, not even to close it again: closing any descriptor of a file
    drops the locks that this process has on it (POSIX ``fcntl``), SQLite's among them, and another
    process would then take a database that is in use for its own.
    """
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        os.unlink(made)
