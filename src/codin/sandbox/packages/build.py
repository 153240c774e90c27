"""Makes a layer: resolves requirements to exact wheels, and unpacks these."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codin.sandbox.packages.check import settle
from codin.sandbox.packages.errors import PackageTooLarge
from codin.sandbox.packages.installer import Installer, Resolved
from codin.sandbox.packages.target import Target

Say = Callable[[str], None]
"""Told in a line what goes on."""

MIB = 1024 * 1024

SITE = "site"
"""The folder of a layer that sandboxes see."""
RECORD = "layer.json"


@dataclass(frozen=True, slots=True)
class Order:
    """What a layer is to hold, for what, and within which bounds (bytes, seconds).

    ``beside`` are exact versions of packages that are there already wherever the layer is seen:
    they stay as they are, and the layer is without them.
    """

    requirements: tuple[str, ...]
    target: Target
    environment: Mapping[str, str]
    most: int
    seconds: float
    installer: type[Installer]
    beside: tuple[str, ...] = ()


async def build(order: Order, folder: Path, say: Say) -> Path:
    """A whole layer, below ``folder``, where nothing else may be. See ``PackageLayers.get``."""
    began = time.monotonic()
    installer = order.installer(
        folder, order.environment, most=order.most, until=began + order.seconds
    )
    _write(folder / "in.txt", "\n".join(order.requirements))
    _write(folder / "kept.txt", "\n".join(order.beside))
    say(f"resolving {len(order.requirements)} requirements with {installer.name}")
    resolved = _missing(await installer.resolve(order.target, "in.txt", "kept.txt"), order.beside)
    _write(folder / "lock.txt", "\n".join(map(_line, resolved)))
    layer = folder / "layer"
    (layer / SITE).mkdir(parents=True)
    if resolved:
        say(f"installing {len(resolved)} packages")
        await installer.install(order.target, "lock.txt", f"layer/{SITE}")
    size = await asyncio.to_thread(settle, layer / SITE)
    if size > order.most:
        raise PackageTooLarge(
            f"the packages take {size} bytes, and a layer may have {order.most}: ask for fewer"
        )
    _write(layer / RECORD, json.dumps(_record(order, resolved, size), indent=1))
    took = time.monotonic() - began
    say(f"{len(resolved)} packages are ready: {size / MIB:.0f} MB, {took:.0f} s")
    return layer


def _missing(resolved: Sequence[Resolved], beside: Sequence[str]) -> list[Resolved]:
    """Those that are not there already."""
    from packaging.utils import canonicalize_name

    there = {canonicalize_name(line.partition("==")[0]) for line in beside}
    return [package for package in resolved if canonicalize_name(package.name) not in there]


def _line(package: Resolved) -> str:
    """A line of a requirements file, which uv takes for other versions of Python too."""
    return " ".join([f"{package.name}=={package.version}", *map(_hash, package.hashes)])


def _hash(text: str) -> str:
    return f"--hash={text}"


def _record(order: Order, resolved: Sequence[Resolved], size: int) -> dict[str, Any]:
    return {
        "requirements": order.requirements,
        **({"beside": order.beside} if order.beside else {}),
        "installer": order.installer.name,
        "resolved": [asdict(package) for package in resolved],
        "bytes": size,
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **order.target.describe(),
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
