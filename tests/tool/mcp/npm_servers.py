"""Servers of npm, installed once and kept."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import platformdirs
import pytest


def node() -> str:
    """The Node that runs them, which sandboxes see too."""
    found = shutil.which("node", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        pytest.skip("node is not here: apt-get install nodejs")
    return found


def installed(package: str, script: str) -> tuple[Path, str]:
    """The folder in which ``package`` (with its version) is, and its ``script`` in there."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here: apt-get install npm")
    cache = Path(platformdirs.user_cache_dir("codin")) / "test-servers"
    folder = cache / package.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", package]
            done = subprocess.run(
                [*command, "--prefix", str(folder)],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"npm could not install {package}: {done.stderr[-300:]}")
            (folder / "ready").touch()
    name = package.rpartition("@")[0]
    return folder, f"node_modules/{name}/{script}"
