"""Files that only their user can read, made before a database opens them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


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
