"""How a container is kept: everything that it does not need is taken away."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codin.sandbox.base import MIB, Limits, Mount

_TMP_BYTES = 512 * MIB
_OPEN_FILES = 65_536
_USER_PROCESSES = 32_768
"""Of one user in all containers together; those of one sandbox are limited by its group."""
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
    """What a container is made of.

    ``shares`` is the container whose network it joins. ``podman`` hides paths in that engine's own
    way: it takes no notice of the API's.
    """

    limits: Limits
    mounts: Sequence[Mount]
    cpus: float
    shares: str | None = None
    podman: bool = False


def host_config(kept: Kept) -> dict[str, Any]:
    """The engine's ``HostConfig``: no capability, no new privilege, no network, nothing to write to
    but ``/tmp`` and the writable mounts; limits that the kernel keeps; gone when it ends."""
    limits = kept.limits
    masked = [f"mask={':'.join(_MASKED)}"] if kept.podman else []
    size = limits.disk_bytes or _TMP_BYTES
    return {
        "AutoRemove": True,
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", *masked],
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
        "Ulimits": _ulimits(),
        "NanoCpus": int(kept.cpus * 1e9),
        **_numbers(limits),
    }


def _ulimits() -> list[dict[str, Any]]:
    """No core dumps, and no more open files and processes than this process might have: Podman's
    own defaults are more than an engine without all of root's rights can give."""
    files, processes = (
        _least(resource.getrlimit(kind)[1], most)
        for kind, most in (
            (resource.RLIMIT_NOFILE, _OPEN_FILES),
            (resource.RLIMIT_NPROC, _USER_PROCESSES),
        )
    )
    return [
        {"Name": "core", "Soft": 0, "Hard": 0},
        {"Name": "nofile", "Soft": min(files, 1024), "Hard": files},
        {"Name": "nproc", "Soft": processes, "Hard": processes},
    ]


def _least(limit: int, most: int) -> int:
    return most if limit == resource.RLIM_INFINITY else min(limit, most)


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
