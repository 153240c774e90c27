"""What was unpacked from wheels, made harmless before anything else looks at it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from codin.sandbox.box.watchdog import ENTRY_BYTES
from codin.sandbox.packages.errors import PackageUnsafe

_FOLDER, _PROGRAM, _FILE = 0o755, 0o755, 0o644
_MAX_SCRIPT = 1 << 20
_PYTHON = b"#!/usr/bin/env python3\n"
_TRAMPOLINE = b"#!/bin/sh\n'''exec' "
"""How a script begins when the path of its Python is too long for a first line."""


def settle(folder: Path) -> int:
    """Give every file plain rights, and every script the Python of wherever it runs.

    Gives the bytes that it takes on disk, links counted once each.

    Raises:
        PackageUnsafe: there is something other than files and folders.
    """
    total = 0
    for here, folders, files in os.walk(folder):
        os.chmod(here, _FOLDER)
        for name in (*folders, *files):
            path = os.path.join(here, name)
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode):
                os.chmod(path, _PROGRAM if found.st_mode & stat.S_IXUSR else _FILE)
            elif not stat.S_ISDIR(found.st_mode):
                raise PackageUnsafe(
                    f"a wheel brought {os.path.relpath(path, folder)!r}, "
                    "which is neither a file nor a folder"
                )
            total += max(found.st_blocks * 512, ENTRY_BYTES)
    (folder / ".lock").unlink(missing_ok=True)
    _settle_scripts(folder / "bin")
    return total


def _settle_scripts(folder: Path) -> None:
    if not folder.is_dir():
        return
    for script in folder.iterdir():
        if script.is_file() and script.stat().st_size <= _MAX_SCRIPT:
            text = script.read_bytes()
            if (body := _without_head(text)) is not None:
                _rewrite(script, _PYTHON + body)


def _without_head(text: bytes) -> bytes | None:
    """What follows the lines that name this machine's Python, where it begins with these."""
    if text.startswith(b"#!" + os.fsencode(sys.executable)):
        return text.partition(b"\n")[2]
    if text.startswith(_TRAMPOLINE):
        return text.split(b"\n", 3)[3]
    return None


def _rewrite(script: Path, text: bytes) -> None:
    """Written anew: the old file may be linked to from elsewhere."""
    mode = script.stat().st_mode
    script.unlink()
    script.write_bytes(text)
    script.chmod(mode)
