"""Runs this module as a user without rights, for whoever runs it as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import codin
from codin.sandbox.errors import SandboxUnavailable

UNAVAILABLE = 3
"""The exit code that says that the place cannot be had here."""

AS_NOBODY = Path(__file__).parent / "as_nobody.sh"
"""Runs a command as a user without rights: ``as_nobody.sh PREFIX COMMAND...``"""


def can_be_somebody_else() -> bool:
    """Whether this process can run another as a user without rights."""
    return os.geteuid() == 0 and bool(shutil.which("setpriv") and shutil.which("unshare"))


@contextmanager
def home_of_nobody() -> Iterator[Path]:
    """A folder that a user without rights can write to, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="codin-nobody-"))
    try:
        folder.chmod(0o755)
        home = folder / "home"
        home.mkdir()
        home.chmod(0o777)
        yield home
    finally:
        shutil.rmtree(folder)


def as_nobody(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments as a user without rights. Blocks."""
    sources = Path(codin.__file__).parent.parent
    environment = ["env", "-i", f"HOME={home}", f"TMPDIR={home}", "PATH=/usr/bin:/bin"]
    environment.append(f"PYTHONPATH={sources}")
    return subprocess.run(
        [
            *("unshare", "-m", "/bin/sh", str(AS_NOBODY), sys.base_prefix),
            *(*environment, sys.executable, *arguments),
        ],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def escapes_of_nobody(*options: str) -> dict[str, dict[str, Any]]:
    """What ``python -m codin.testing.escapes --json`` with these options says to such a user.

    Raises:
        SandboxUnavailable: such a user cannot have that place here.
        RuntimeError: it did not get as far as that.
    """
    with home_of_nobody() as home:
        done = as_nobody(home, "-m", "codin.testing.escapes", "--json", *options)
    if done.returncode == UNAVAILABLE:
        raise SandboxUnavailable(done.stderr.strip())
    try:
        found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    except ValueError as error:
        raise RuntimeError(f"{done.stdout[-500:]}{done.stderr[-2000:]}") from error
    return found
