"""Packages for sandboxes: layers that are built once by uv or pip, from wheels only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.sandbox.packages.errors import (
        IndexUnreachable,
        PackageDiskFull,
        PackageError,
        PackageNotFound,
        PackageTimeout,
        PackageTooLarge,
        PackageUnsafe,
        RequirementRefused,
    )
    from codin.sandbox.packages.layers import PackageLayers
    from codin.sandbox.packages.shown import ShownPackages

_HOMES = {
    "errors": (
        "IndexUnreachable",
        "PackageDiskFull",
        "PackageError",
        "PackageNotFound",
        "PackageTimeout",
        "PackageTooLarge",
        "PackageUnsafe",
        "RequirementRefused",
    ),
    "layers": ("PackageLayers",),
    "shown": ("ShownPackages",),
}
__all__ = [
    "IndexUnreachable",
    "PackageDiskFull",
    "PackageError",
    "PackageLayers",
    "PackageNotFound",
    "PackageTimeout",
    "PackageTooLarge",
    "PackageUnsafe",
    "RequirementRefused",
    "ShownPackages",
]

__getattr__ = lazy_names(__name__, _HOMES)
