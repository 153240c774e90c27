"""What a command takes under gVisor, apart from what gVisor takes itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from codin.sandbox.base import MIB
from codin.sandbox.box.cgroup import Group
from codin.sandbox.box.meter import GroupMeter, Meter, Sample, TreeMeter, tree

OWN_MEMORY = 64 * MIB
"""What its kernel and the programs around it take with nothing in it (measured: 20 to 45 MiB)."""
OWN_PROCESSES = 7
"""Bubblewrap, its init, a shell, runsc, its server of files, its kernel, and that one's first."""
OWN_SECONDS = 0.5
"""Processor time of its start (measured: 0.15 s)."""
SPARE_PROCESSES = 2
"""It keeps a process or two for the next use."""
_FILE = "/memfd:runsc-memory"
_TASKS = 8
_OWN_TASKS = 200


def without_own(sample: Sample) -> Sample:
    """What of this is the command's, at the least."""
    return replace(
        sample,
        cpu_seconds=max(sample.cpu_seconds - OWN_SECONDS, 0.0),
        processes=max(sample.processes - SPARE_PROCESSES, 0),
    )


def most_tasks(processes: int) -> int:
    """The threads that its kernel needs on this machine for so many processes, generously."""
    return _OWN_TASKS + _TASKS * processes


class GvisorMeter(Meter):
    """Looks at the processes of this machine that stand for those inside.

    There is one for each, kept after its end for the next: so it is the most that there have been
    at a time that counts. Processor time is that of its kernel too.
    """

    def __init__(self, root_pid: int, group: Group | None) -> None:
        self._root = root_pid
        self._counted = group is not None
        self._memory = _Memory()
        self._meter: Meter = TreeMeter(root_pid) if group is None else GroupMeter(group)

    def sample(self) -> Sample:
        found = self._meter.sample()
        pids = tree(self._root)
        memory = 0 if self._counted else max(self._memory.bytes(pids) - OWN_MEMORY, 0)
        processes = max(len(pids) - OWN_PROCESSES, 0)
        return Sample(found.cpu_seconds, memory, processes, found.oom_kills)

    def peak(self) -> int | None:
        return self._meter.peak()

    def begin(self) -> None:
        self._meter.begin()

    def finish(self) -> Callable[[], tuple[float, int | None]]:
        return self._meter.finish()

    def moved(self) -> bool:
        return self._meter.moved()

    def processes(self) -> list[int]:
        return self._meter.processes()

    def remove(self) -> None:
        self._meter.remove()


class _Memory:
    """The memory of a kernel by gVisor, and of what runs on it.

    What runs on it is in one file of the kernel's, which is mapped only while it runs: so that file
    is measured, and of the processes what they have besides.
    """

    def __init__(self) -> None:
        self._file: str | None = None

    def bytes(self, pids: list[int]) -> int:
        if self._file is None:
            self._file = next(filter(None, map(_memory_of, pids)), None)
        held = 0
        if self._file is not None:
            with suppress(OSError):
                held = os.stat(self._file).st_blocks * 512
        return held + sum(map(_own, pids))


def _memory_of(pid: int) -> str | None:
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.readlink(entry.path).startswith(_FILE):
                    return entry.path
    return None


def _own(pid: int) -> int:
    """Bytes of a process that are in no file, those that it shares divided by who shares them."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return 0
