"""Packages of a host's own: an agent's framework in the versions that it wants, beside codin.

The packages are a layer (``codin.sandbox.packages``) that holds what the agent names and what a
host itself needs, resolved together. The host's Python is started without the platform's packages,
so that neither sees the other's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

import codin
from codin.sandbox.base import PACKAGES, Mount

_CODIN = "/opt/codin"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """With what a host is started: its Python, packages to install, and what shows them to it."""

    python: tuple[str, ...]
    requirements: tuple[str, ...]
    mounts: tuple[Mount, ...]
    path: str


def surroundings(requirements: Sequence[str]) -> Surroundings:
    """Those of a host whose agents need ``requirements``; without any, the platform's packages.

    Either way its codin is the very one that runs here.
    """
    mounts = (Mount(Path(codin.__file__).parent, f"{_CODIN}/codin"),)
    if not requirements:
        return Surroundings((sys.executable,), (), mounts, _CODIN)
    return Surroundings(
        python=(sys.executable, "-S"),  # without site there are no packages but those on the path
        requirements=(*requirements, *own_requirements()),
        mounts=mounts,
        path=f"{_CODIN}:{PACKAGES}",
    )


def own_requirements() -> tuple[str, ...]:
    """What codin's base needs, as it was installed: a host needs no more."""
    return tuple(line for line in requires("codin") or () if "extra ==" not in line)
