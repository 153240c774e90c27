"""Who holds a lease: a process, by a name from which others can tell that it is dead."""

from __future__ import annotations

import socket
import uuid
from functools import cache
from pathlib import Path

from codin.process_name import process_lives, process_name


def new_owner() -> str:
    """A name for an owner in this process: the machine since its last start, the process, and a
    nonce."""
    return f"{_machine()}/{process_name()}/{uuid.uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """Whether the process behind ``owner`` is known to have ended. ``False`` when it lives, and
    when nobody can tell from here: then only its lease tells."""
    machine, _, rest = owner.partition("/")
    return machine == _machine() and not process_lives(rest.partition("/")[0])


@cache
def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    return f"{socket.gethostname()}:{boot}"
