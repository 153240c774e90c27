"""What processes hold that no folder shows and no resident page: files that have no name any more.

A file whose last name was removed, or that never had one, keeps what it takes for as long as
somebody has it open or mapped. Kernel: proc_pid_fd(5), proc_pid_maps(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

File = tuple[int, int]
"""A file system and a file in it."""

_DELETED = b" (deleted)\n"


def unnamed_files(pids: Iterable[int]) -> dict[File, int]:
    """Files without a name that these processes hold, and how many bytes each takes.

    A file that is only mapped counts for the largest part of it that is. Blocks; a process that
    ends meanwhile, or may not be looked at, holds nothing.
    """
    opened: dict[File, int] = {}
    mapped: dict[File, int] = {}
    for pid in pids:
        with suppress(OSError):
            _add_opened(pid, opened)
        with suppress(OSError):
            _add_mapped(pid, mapped)
    return {**mapped, **opened}


@cache
def memory_device() -> int:
    """The file system of what is memory only: ``memfd_create``, and mappings that are shared."""
    fd = os.memfd_create("codin")
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


def _add_opened(pid: int, found: dict[File, int]) -> None:
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        with suppress(OSError):
            file = os.stat(f"{folder}/{name}")
            if file.st_nlink == 0 and stat.S_ISREG(file.st_mode):
                found[file.st_dev, file.st_ino] = file.st_blocks * 512


def _add_mapped(pid: int, found: dict[File, int]) -> None:
    with open(f"/proc/{pid}/maps", "rb") as lines:
        for line in lines:
            if line.endswith(_DELETED):
                span, _, _, device, inode = line.split(None, 5)[:5]
                start, _, end = span.partition(b"-")
                major, _, minor = device.partition(b":")
                key = os.makedev(int(major, 16), int(minor, 16)), int(inode)
                found[key] = max(found.get(key, 0), int(end, 16) - int(start, 16))
