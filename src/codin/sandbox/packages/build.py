"""Makes a layer: resolves requirements to exact wheels, and unpacks these."""

from __future__ import annotations

import asyncio
import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codin.sandbox.packages.check import settle
from codin.sandbox.packages.errors import PackageNotFound, PackageTooLarge, PackageUnsafe
from codin.sandbox.packages.target import Target
from codin.sandbox.packages.uv import Uv

SITE = "site"
"""The folder of a layer that sandboxes see."""
RECORD = "layer.json"


@dataclass(frozen=True, slots=True)
class Resolved:
    """One package of a layer, exactly. ``hashes`` are of the wheels that it may come from."""

    name: str
    version: str
    hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What a layer is to hold, for what, and within which bounds (bytes, seconds)."""

    requirements: tuple[str, ...]
    target: Target
    environment: Mapping[str, str]
    most: int
    seconds: float


async def build(order: Order, folder: Path) -> Path:
    """A whole layer, below ``folder``, where nothing else may be. See ``PackageLayers.get``."""
    until = time.monotonic() + order.seconds
    uv = Uv(folder, order.environment, most=order.most, until=until)
    _write(folder / "in.txt", "\n".join(order.requirements))
    await uv.run(
        ("pip", "compile"),
        [*order.target.arguments, "--format", "pylock.toml", "-o", "pylock.toml", "-q", "in.txt"],
    )
    resolved = read_lock((folder / "pylock.toml").read_text(encoding="utf-8"))
    _write(folder / "lock.txt", "\n".join(map(_line, resolved)))
    layer = folder / "layer"
    (layer / SITE).mkdir(parents=True)
    exactly = ("--require-hashes", "--no-deps", "-r", "lock.txt")
    where = ("--link-mode", "hardlink", "--target", f"layer/{SITE}")
    await uv.run(("pip", "install"), [*order.target.arguments, *where, *exactly])
    size = await asyncio.to_thread(settle, layer / SITE)
    if size > order.most:
        raise PackageTooLarge(
            f"the packages take {size} bytes, and a layer may have {order.most}: ask for fewer"
        )
    _write(layer / RECORD, json.dumps(_record(order, resolved, size), indent=1))
    return layer


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


def _line(package: Resolved) -> str:
    """A line of a requirements file, which uv takes for other versions of Python too."""
    return " ".join([f"{package.name}=={package.version}", *map(_hash, package.hashes)])


def _hash(text: str) -> str:
    return f"--hash={text}"


def _record(order: Order, resolved: Sequence[Resolved], size: int) -> dict[str, Any]:
    return {
        "requirements": order.requirements,
        "resolved": [asdict(package) for package in resolved],
        "bytes": size,
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **order.target.describe(),
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
