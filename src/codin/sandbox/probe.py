"""Finds out what sandboxes on this machine really keep, by breaking each limit once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from codin.sandbox.base import MIB, Isolation, Limits, Sandbox, SandboxSpec, SandboxSupport
from codin.sandbox.errors import (
    CpuLimit,
    OutOfMemory,
    OutputLimit,
    PermissionDenied,
    SandboxError,
    SandboxTimeout,
    SandboxUnavailable,
)

_LIMITS = Limits(
    cpu_seconds=None,
    memory_bytes=None,
    processes=None,
    disk_bytes=None,
    wall_seconds=10.0,
    output_bytes=None,
)
_FORKS = "i=0; while [ $i -lt 12 ]; do sleep 3 & i=$((i+1)); done; kill %1"
_FILL = "for i in 1 2 3; do head -c 786432 /dev/zero > /tmp/$i || exit 1; done"
# Interfaces tell nothing: kernels put some into every namespace, with no way to anywhere.
_ROUTES = (
    "[ -r /proc/net/route ] || exit 0; tail -n +2 /proc/net/route | grep -q . || "
    "grep -qv ' lo$' /proc/net/ipv6_route 2>/dev/null"
)

# Each limit: what to set, what to run, and the error that shows that it bit (or its exit code).
_TRIALS: dict[str, tuple[Limits, str, type[SandboxError] | None]] = {
    "memory_bytes": (
        replace(_LIMITS, memory_bytes=32 * MIB),
        "cat /dev/zero | tail -c 300000000 > /dev/null",
        OutOfMemory,
    ),
    "processes": (replace(_LIMITS, processes=8), _FORKS, None),
    "disk_bytes": (replace(_LIMITS, disk_bytes=1 * MIB), _FILL, None),
    "cpu_seconds": (replace(_LIMITS, cpu_seconds=0.05), "while :; do :; done", CpuLimit),
    "wall_seconds": (replace(_LIMITS, wall_seconds=0.2), "sleep 9", SandboxTimeout),
    "output_bytes": (replace(_LIMITS, output_bytes=65536), "cat /dev/zero", OutputLimit),
    "network": (_LIMITS, _ROUTES, None),
}


async def probe(
    make: Callable[[SandboxSpec], Awaitable[Sandbox]], isolation: Isolation
) -> SandboxSupport:
    """What ``make`` gives, whose level is ``isolation``. Takes some tenths of a second.

    Never raises.
    """
    try:
        await _starts(make)
        names = list(_TRIALS)
        bites = await asyncio.gather(*(_bites(make, name) for name in names))
    except (SandboxError, OSError) as error:
        return SandboxSupport(isolation, available=False, reason=str(error))
    enforced = frozenset(name for name, bit in zip(names, bites, strict=True) if bit)
    return SandboxSupport(isolation, available=True, enforced=enforced)


async def _starts(make: Callable[[SandboxSpec], Awaitable[Sandbox]]) -> None:
    """Raises ``SandboxUnavailable`` with what bubblewrap itself said."""
    said = bytearray()
    async with await make(SandboxSpec(limits=_LIMITS)) as sandbox:
        try:
            await sandbox.exec(["true"], on_output=lambda chunk: said.extend(chunk.data))
        except SandboxUnavailable as error:
            text = said.decode(errors="replace").strip()
            raise SandboxUnavailable(f"{text[:500]}: {error}" if text else str(error)) from error


async def _bites(make: Callable[[SandboxSpec], Awaitable[Sandbox]], name: str) -> bool:
    limits, script, expected = _TRIALS[name]
    async with await make(SandboxSpec(limits=limits)) as sandbox:
        try:
            result = await sandbox.exec(["/bin/sh", "-c", script])
        except SandboxError as error:
            # too many processes may be refused, or be the end
            return type(error) is (expected or PermissionDenied)
        return expected is None and result.exit_code != 0
