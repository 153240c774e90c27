"""Temporary folders that do not stay behind, however their process ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from codin.process_name import process_lives, process_name

_PREFIX = "codin-"


def private_folder(
    kind: str, *, within: Path | None = None, remove: Callable[[Path], None] = shutil.rmtree
) -> Path:
    """A new folder that only this user sees, in the folder for temporary files or ``within``
    another. Whoever makes it removes it; those of this ``kind`` whose processes were killed are
    removed now, by ``remove``. Blocks.

    The path is short: that of a Unix socket may have no more than some hundred bytes.
    """
    place = within or Path(tempfile.gettempdir())
    prefix = f"{_PREFIX}{kind}-"
    for left in place.glob(f"{prefix}*"):
        owner = left.name.removeprefix(prefix).partition("-")[0]
        with contextlib.suppress(OSError):
            if left.lstat().st_uid == os.geteuid() and not process_lives(owner):
                remove(left)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{process_name()}-", dir=place))
