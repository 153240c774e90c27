"""The name of a process, from which others on its machine can tell whether it lives."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_ENDED = frozenset("ZXx")
"""States of a process that has ended, and whose parent has not asked how."""


def process_name() -> str:
    """This process: its id, when it began (ids are used again), and where ids are counted."""
    pid = os.getpid()
    return f"{pid}.{began(pid)}.{_namespace()}"


def process_lives(name: str) -> bool:
    """Whether the process of that name is there, or could be: one that is counted elsewhere, as in
    another container, cannot be seen from here."""
    pid, _, rest = name.partition(".")
    start, _, namespace = rest.partition(".")
    if not pid.isdigit() or namespace != _namespace():
        return True
    return began(int(pid)) == start


def began(pid: int) -> str:
    """When a process began, in the kernel's ticks since the machine did; empty when it has
    ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # the name of the program, in parentheses, may have any character in it
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in _ENDED else fields[19]


@cache
def _namespace() -> str:
    return os.readlink("/proc/self/ns/pid").strip("pid:[]")
