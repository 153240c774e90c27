"""Sandboxes on this machine, made by gVisor inside of bubblewrap: Linux, by root or by anybody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from codin.sandbox.base import Isolation, Sandbox, SandboxSpec, SandboxSupport
from codin.sandbox.box.sandbox import BoxSandbox
from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.gvisor import runsc
from codin.sandbox.gvisor.sandbox import GvisorSandbox
from codin.sandbox.local import bwrap
from codin.sandbox.local.provider import LocalSandboxProvider

if TYPE_CHECKING:
    from codin.sandbox.packages import PackageLayers


class GvisorSandboxProvider(LocalSandboxProvider):
    """Makes sandboxes whose code never speaks to this machine's kernel, only to gVisor's.

    That runs in the namespaces of a local sandbox: who gets out of it is where other sandboxes
    begin. A runsc from before ``minimum`` is not used. No network but "none" is to be had, and no
    ``machine``.
    """

    name = "gvisor"
    isolation = Isolation.GVISOR
    _tried: ClassVar[dict[runsc.Runsc, SandboxSupport]] = {}

    def __init__(
        self, *, minimum: date = runsc.MINIMUM, layers: PackageLayers | None = None
    ) -> None:
        super().__init__(layers=layers)
        self._minimum = minimum
        self._runsc: runsc.Runsc | None = None

    async def probe(self) -> SandboxSupport:
        try:
            if self._runsc is None:
                self._runsc = await asyncio.to_thread(runsc.find, self._minimum)
            bwrap.find()
        except SandboxUnavailable as error:
            return SandboxSupport(self.isolation, available=False, reason=str(error))
        async with self._probing:
            if self._runsc not in self._tried:
                self._tried[self._runsc] = await self._try()
            return self._tried[self._runsc]

    async def create(self, spec: SandboxSpec) -> Sandbox:
        if spec.machine:
            raise SandboxUnavailable("isolation 'gvisor' is not for machines: use machine=False")
        if spec.limits.network != "none":
            raise SandboxUnavailable("isolation 'gvisor' comes without network: use network='none'")
        return await super().create(spec)

    async def describe(self) -> dict[str, object]:
        told = await super().describe()
        released = None if self._runsc is None else self._runsc.released.isoformat()
        return {**told, "released": released}

    async def _apart(self, identity: str, spec: SandboxSpec, place: Path) -> BoxSandbox:
        assert self._runsc is not None
        own, workspace = await self._workspace(identity, spec, place)
        return GvisorSandbox(
            identity,
            replace(spec, workspace=workspace),
            runsc=self._runsc,
            program=bwrap.find(),
            etc=place / "etc",
            groups=self._groups,
            on_end=lambda ended: self._forget(ended, workspace if own else None),
        )
