"""pip, where there is no uv: how it is asked, and what its words mean."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.packages.errors import (
    IndexUnreachable,
    PackageDiskFull,
    PackageNotFound,
    PackageUnsafe,
)
from codin.sandbox.packages.installer import Installer, Meanings, Resolved
from codin.sandbox.packages.target import Target

_REPORT = "report.json"
_BECAUSE = "The conflict is caused by:"
_OPTIONS = (
    *("--no-input", "--disable-pip-version-check", "--no-color", "--no-cache-dir"),
    *("--only-binary", ":all:", "--progress-bar", "off", "--no-warn-conflicts"),
)
_MEANINGS: Meanings = (
    (("No space left", "Disk quota"), PackageDiskFull, "the disk is full"),
    (
        ("DO NOT MATCH THE HASHES", "is not a valid wheel", "is invalid", "BadZipFile"),
        PackageUnsafe,
        "a wheel is broken",
    ),
    (
        ("Connection refused", "NewConnectionError", "connection broken", "HTTP error", "timed out",
         "Could not fetch URL", "getaddrinfo", "Name or service not known"),
        IndexUnreachable,
        "the package index cannot be reached",
    ),
    (
        ("No matching distribution", "ResolutionImpossible", "Could not find a version"),
        PackageNotFound,
        "these packages are not to be had as wheels",
    ),
)  # fmt: skip
_VARIABLES = {
    "UV_DEFAULT_INDEX": "PIP_INDEX_URL",
    "UV_INDEX_URL": "PIP_INDEX_URL",
    "UV_INDEX": "PIP_EXTRA_INDEX_URL",
    "UV_EXTRA_INDEX_URL": "PIP_EXTRA_INDEX_URL",
    "UV_FIND_LINKS": "PIP_FIND_LINKS",
    "UV_NO_INDEX": "PIP_NO_INDEX",
    "SSL_CERT_FILE": "PIP_CERT",
}
_NAMED = re.compile(r"[A-Za-z0-9._-]+=(?=https?:|file:)")
"""How uv lets an index have a name."""


class Pip(Installer):
    """Asks the pip of this Python, or the one that Python itself brings along."""

    name = "pip"
    meanings = _MEANINGS

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, most: int, until: float
    ) -> None:
        super().__init__(folder, pip_environment(environment), most=most, until=until)

    async def resolve(self, target: Target, requirements: str, kept: str) -> list[Resolved]:
        if target.other:
            raise SandboxUnavailable(
                "packages for another Python than the one that runs codin need uv: pip install uv"
            )
        asked = ("--dry-run", "--ignore-installed", "--report", _REPORT)
        await self._run(*asked, "-c", kept, "-r", requirements)
        return read_report((self._folder / _REPORT).read_text(encoding="utf-8"))

    async def install(self, target: Target, lock: str, into: str) -> None:
        exactly = ("--require-hashes", "--no-deps", "-r", lock)
        await self._run("--no-compile", "--target", into, *exactly)

    def _told(self, out: str, err: str) -> str:
        # which versions contradict each other is no error to pip, and stands elsewhere
        _, because, conflict = out.partition(_BECAUSE)
        return err + because + conflict

    async def _run(self, *arguments: str) -> None:
        await self._apart([*command(), "install", *_OPTIONS, *arguments])


def pip_environment(given: Mapping[str, str]) -> dict[str, str]:
    """What tells pip where packages come from, and nothing else: no file of settings."""
    kept = {name: value for name, value in given.items() if not name.startswith("UV_")}
    kept["PIP_CONFIG_FILE"] = os.devnull
    for name, own in _VARIABLES.items():
        if value := given.get(name):
            kept.setdefault(own, _NAMED.sub("", value))
    return kept


def command() -> list[str]:
    """What runs pip.

    Raises:
        SandboxUnavailable: this Python has none.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip"]
    if (wheel := _bundled()) is None:
        raise SandboxUnavailable(
            "packages need uv or pip, and neither is here: pip install 'codin[platform]', or "
            "pip install uv"
        )
    begin = f"import runpy, sys; sys.path.insert(0, {str(wheel)!r}); runpy.run_module('pip', "
    return [sys.executable, "-I", "-c", f"{begin} run_name='__main__', alter_sys=True)"]


def _bundled() -> Path | None:
    """The wheel of pip that came with Python."""
    found = importlib.util.find_spec("ensurepip")
    if found is None or found.origin is None:
        return None
    wheels = sorted((Path(found.origin).parent / "_bundled").glob("pip-*.whl"))
    return wheels[-1] if wheels else None


def read_report(text: str) -> list[Resolved]:
    """The packages of pip's installation report.

    Raises:
        PackageUnsafe: one is to come from elsewhere than the index, or has no hash.
    """
    return [_resolved(package) for package in json.loads(text).get("install", [])]


def _resolved(package: Mapping[str, Any]) -> Resolved:
    said, source = package["metadata"], package["download_info"]
    name = str(said["name"])
    archive = source.get("archive_info")
    if package.get("is_direct") or archive is None:
        raise PackageUnsafe(
            f"{name} would come from {str(source.get('url'))[:200]}; "
            "only packages of the index are taken"
        )
    hashes = tuple(sorted(f"{kind}:{text}" for kind, text in archive.get("hashes", {}).items()))
    if not hashes:
        raise PackageUnsafe(f"the index gives no hash of {name}; only what has one is taken")
    return Resolved(name, str(said["version"]), hashes)
