"""How a container is kept: everything that it does not need is taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codin.sandbox.base import MIB, Limits, Mount

_TMP_BYTES = 512 * MIB
_OWN_PROCESSES = 2
"""The supervisor, and the keeper of one command."""

# Docker's own list, and all of sysfs: nothing inside has business with the machine's devices.
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a container is made of. ``shares`` is the container whose network it joins."""

    limits: Limits
    mounts: Sequence[Mount]
    cpus: float
    shares: str | None = None


def host_config(kept: Kept) -> dict[str, Any]:
    """The engine's ``HostConfig``: no capability, no new privilege, no network, nothing to write to
    but ``/tmp`` and the writable mounts; limits that the kernel keeps; gone when it ends."""
    limits = kept.limits
    size = limits.disk_bytes or _TMP_BYTES
    return {
        "AutoRemove": True,
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "NetworkMode": f"container:{kept.shares}" if kept.shares else "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "MaskedPaths": list(_MASKED),
        "ReadonlyPaths": list(_READ_ONLY),
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={size}"},  # noqa: S108 - inside
        "ShmSize": min(size, 64 * MIB),
        "Mounts": [_bind(mount) for mount in kept.mounts],
        "LogConfig": {"Type": "none", "Config": {}},
        **({} if kept.shares else {"Dns": ["127.0.0.1"]}),  # else the machine's own is told
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "NanoCpus": int(kept.cpus * 1e9),
        **_numbers(limits),
    }


def _numbers(limits: Limits) -> dict[str, int]:
    found: dict[str, int] = {}
    if limits.memory_bytes is not None:
        # No swap: the limit is of memory, and what does not fit is ended.
        found |= {"Memory": limits.memory_bytes, "MemorySwap": limits.memory_bytes}
    if limits.processes is not None:
        found["PidsLimit"] = limits.processes + _OWN_PROCESSES
    return found


def _bind(mount: Mount) -> Mapping[str, Any]:
    return {
        "Type": "bind",
        "Source": str(Path(mount.source).resolve()),
        "Target": mount.target,
        "ReadOnly": not mount.writable,
        "BindOptions": {"Propagation": "rprivate"},
    }
