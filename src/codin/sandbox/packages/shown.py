"""Packages as sandboxes see them: a mount, and the variables that find what is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from codin.sandbox.base import PACKAGES, Mount, SandboxSpec

if TYPE_CHECKING:
    from codin.sandbox.packages.layers import PackageLayers


class ShownPackages:
    """The layers that the sandboxes of one provider hold, by the sandbox's name.

    ``layers`` is where they are kept; without it: in this user's cache.
    """

    def __init__(self, layers: PackageLayers | None = None) -> None:
        self._layers = layers
        self._held: dict[str, Path] = {}

    async def show(
        self,
        identity: str,
        spec: SandboxSpec,
        *,
        path: str,
        python: str | None = None,
        platform: str | None = None,
    ) -> SandboxSpec:
        """``spec`` with its requirements as a mount, until ``release``.

        ``path`` is the ``PATH`` of the sandbox, the rest as for ``PackageLayers.get``, whose
        errors it raises.
        """
        if not spec.requirements:
            return spec
        layers = self._open()
        layer = await layers.get(spec.requirements, python=python, platform=platform)
        self._held[identity] = layer
        env = {"PATH": f"{PACKAGES}/bin:{path}", "PYTHONPATH": PACKAGES, **spec.env}
        return replace(spec, mounts=(*spec.mounts, Mount(layer, PACKAGES)), env=env)

    def release(self, identity: str) -> None:
        """The sandbox has ended, or was never made."""
        layer = self._held.pop(identity, None)
        if layer is not None and self._layers is not None:
            self._layers.release(layer)

    def _open(self) -> PackageLayers:
        if self._layers is None:
            from codin.sandbox.packages.layers import PackageLayers

            self._layers = PackageLayers()
        return self._layers
