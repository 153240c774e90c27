"""Who holds a lease: a process, by a name from which others can tell that it is dead."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path


def new_owner() -> str:
    """A name for an owner in this process: host, process id, when the process began, and a
    nonce."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{pid}/{_began(pid)}/{uuid.uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """Whether the process behind ``owner`` is known to have ended. ``False`` when it lives, and
    when nobody can tell from here: then only its lease tells."""
    host, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    began = rest.partition("/")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _began(int(pid)) != began


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks: process ids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    return stat.rpartition(")")[2].split()[19]
