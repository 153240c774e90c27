"""uv: where it is, how it is asked, and what its words mean."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.packages.errors import (
    IndexUnreachable,
    PackageDiskFull,
    PackageError,
    PackageNotFound,
    PackageUnsafe,
)
from codin.sandbox.packages.installer import Installer, Meanings, Resolved, meaning_of
from codin.sandbox.packages.target import Target

_LOCK = "pylock.toml"
# The words of uv, in the order in which they are looked for: a failure names its causes too.
_MEANINGS: Meanings = (
    (("No space left", "os error 28", "Disk quota"), PackageDiskFull, "the disk is full"),
    (
        ("Failed to extract", "Failed to install", "invalid zip", "Hash mismatch"),
        PackageUnsafe,
        "a wheel is broken",
    ),
    (
        ("Failed to fetch", "error sending request", "Request failed", "Failed to download"),
        IndexUnreachable,
        "the package index cannot be reached",
    ),
    (
        ("No solution found", "unsatisfiable", "no usable wheels", "attempted to resolve via URL"),
        PackageNotFound,
        "these packages are not to be had as wheels",
    ),
)


def find() -> Path:
    """The uv of its package, beside Python, or on the path.

    Raises:
        SandboxUnavailable: there is none.
    """
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        beside = Path(sys.executable).parent / "uv"
        found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise SandboxUnavailable(
            "sandboxes with requirements need uv, which is not here: "
            "pip install 'codin[platform]', or pip install uv"
        )
    return Path(found)


class Uv(Installer):
    """Asks uv."""

    name = "uv"
    meanings = _MEANINGS

    async def resolve(self, target: Target, requirements: str, kept: str) -> list[Resolved]:
        said = ("--format", "pylock.toml", "-o", _LOCK, "-q", "-c", kept, requirements)
        await self.run(("pip", "compile"), [*target.arguments, *said])
        return read_lock((self._folder / _LOCK).read_text(encoding="utf-8"))

    async def install(self, target: Target, lock: str, into: str) -> None:
        exactly = ("--require-hashes", "--no-deps", "-r", lock)
        where = ("--link-mode", "hardlink", "--target", into)
        await self.run(("pip", "install"), [*target.arguments, *where, *exactly])

    async def run(self, command: Sequence[str], arguments: Sequence[str]) -> None:
        """Run a command of uv in the folder.

        Raises:
            PackageError: one of its kinds, with what uv said in short.
            SandboxUnavailable: there is no uv, or it cannot be put apart.
        """
        await self._apart(
            [
                *(str(find()), *command, "--no-config", "--no-progress", "--color", "never"),
                *("--no-python-downloads", "--only-binary", ":all:", "--cache-dir", "cache"),
                *arguments,
            ]
        )


def read_lock(text: str) -> list[Resolved]:
    """The packages of a lock file as PEP 751 has it.

    Raises:
        PackageUnsafe: one is to come from elsewhere than the index, or is no wheel.
    """
    found: list[Resolved] = []
    for package in tomllib.loads(text).get("packages", []):
        name, wheels = str(package.get("name")), package.get("wheels")
        if elsewhere := {"vcs", "directory", "archive"} & set(package):
            raise PackageUnsafe(
                f"{name} would come from a {elsewhere.pop()}; only packages of the index are taken"
            )
        if not wheels:
            raise PackageNotFound(f"{name} is not to be had as a wheel")
        found.append(Resolved(name, str(package.get("version")), _hashes(wheels)))
    return found


def _hashes(wheels: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = {f"{kind}:{text}" for wheel in wheels for kind, text in wheel["hashes"].items()}
    return tuple(sorted(found))


def meaning(said: str) -> PackageError:
    """The error for what uv said when it failed."""
    return meaning_of(said, Uv.name, _MEANINGS)
