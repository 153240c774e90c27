"""The programs of ours that run inside, as folders of this machine."""

from __future__ import annotations

import compileall
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def worker_program() -> Path:
    """The folder of the Worker's program."""
    return _compiled(_HERE / "worker")


@cache
def supervisor_program() -> Path:
    """The folder of the supervisor's program."""
    return _compiled(_HERE / "supervisor")


def _compiled(folder: Path) -> Path:
    """``folder``, compiled where that can be done: inside it is read-only, and without this every
    start would compile it anew."""
    compileall.compile_dir(folder, maxlevels=0, quiet=2)
    return folder
