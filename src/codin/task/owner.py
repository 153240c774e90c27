"""Who holds a lease: a process, by a name from which others can tell that it is dead."""

from __future__ import annotations

import os
import socket
import uuid
from functools import cache
from pathlib import Path

_ENDED = frozenset("ZXx")
"""States of a process that has ended, and whose parent has not asked how."""


def new_owner() -> str:
    """A name for an owner in this process: where it runs, process id, when the process began, and
    a nonce."""
    pid = os.getpid()
    _, began = _stat(pid)
    return f"{_place()}/{pid}/{began}/{uuid.uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """Whether the process behind ``owner`` is known to have ended. ``False`` when it lives, and
    when nobody can tell from here: then only its lease tells."""
    place, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    began = rest.partition("/")[0]
    if place != _place() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    state, now = _stat(int(pid))
    return state in _ENDED or now != began


@cache
def _place() -> str:
    """Where process ids mean the same: containers of one machine may share its name, and have
    numbers of their own."""
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}:{boot}:{namespace}"


def _stat(pid: int) -> tuple[str, str]:
    """A process's state, and when it began in the kernel's ticks: process ids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", "0"
    fields = stat.rpartition(")")[2].split()
    return fields[0], fields[19]
