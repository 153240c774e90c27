"""What a tree of processes uses: from its control group, or by looking at each process."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codin.sandbox.box.cgroup import OWN_PROCESSES, Group
from codin.sandbox.box.unnamed import memory_device, unnamed_files

_CPUS = os.cpu_count() or 1
_RISE = 1024 * 1024
"""What a peak of memory may be above where it began without being told anew for each call."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. ``memory_bytes`` and ``processes`` are 0 where the kernel keeps the limit."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    processes: int = 0
    oom_kills: int = 0


class Meter(ABC):
    """Measures one box. Fast (well under a millisecond), and safe when the box is gone."""

    @abstractmethod
    def sample(self) -> Sample: ...

    @abstractmethod
    def peak(self) -> int | None:
        """The most memory used since ``begin``, in bytes."""

    @abstractmethod
    def begin(self) -> None:
        """A call begins. Takes some microseconds at most."""

    @abstractmethod
    def finish(self) -> Callable[[], tuple[float, int | None]]:
        """The call has ended: what tells the processor time and the peak of memory since then.

        It may be asked later: the figures are those of now.
        """

    @abstractmethod
    def moved(self) -> bool:
        """Whether anything has run in it since this was last asked, as far as can be told
        quickly: in some microseconds."""

    @abstractmethod
    def processes(self) -> list[int]:
        """What runs in it now, by this machine's numbers."""

    @abstractmethod
    def remove(self) -> None: ...


class GroupMeter(Meter):
    """Reads a control group, which also keeps the limits on memory and processes."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._last = Sample()
        self._peak: int | None = None
        self._before: bytes | None = None
        self._seen = b""
        self._floor = -_RISE  # so that the first call begins with a look

    def sample(self) -> Sample:
        cpu = self._group.cpu_seconds()
        if cpu:  # 0 once the group is gone: then the last look is the truth
            self._last = Sample(cpu_seconds=cpu, oom_kills=self._group.oom_kills())
            self._peak = self._group.memory_peak()
        return self._last

    def peak(self) -> int | None:
        return self._peak

    def begin(self) -> None:
        # What ran in between counts for the call that comes after it; a peak that was no higher
        # than where it began need not be begun anew.
        if self._before is None:
            self._before = self._group.cpu.read()
        if self._peak is None or self._peak - self._floor >= _RISE:
            self._group.reset_peak()
            self._floor = self._peak = self._group.memory_peak() or 0

    def finish(self) -> Callable[[], tuple[float, int | None]]:
        group, before, after = self._group, self._before or b"", self._group.cpu.read()
        self._before, peak = after, group.memory_peak()
        self._peak = peak
        return lambda: (max(group.seconds(after) - group.seconds(before), 0.0), peak)

    def moved(self) -> bool:
        before, self._seen = self._seen, self._group.cpu.read()
        return before != self._seen

    def processes(self) -> list[int]:
        return self._group.processes()

    def remove(self) -> None:
        self.sample()
        self._group.remove()


class TreeMeter(Meter):
    """Adds up what the processes below a root say in ``/proc``: approximate, and needs no rights.

    ``own`` of them are not the code's. Memory is resident memory, so pages of files count once for
    each process that has them; what manages it; and memory that is shared or a file without a
    name, resident or not.
    """

    def __init__(self, root_pid: int, *, own: int = OWN_PROCESSES) -> None:
        self._root = root_pid
        self._own = own
        self._peak = 0
        self._cpu = self._counted = 0.0
        self._begun = 0.0
        self._ran: dict[str, bytes] = {}

    def sample(self) -> Sample:
        cpu, own, shared, count = 0.0, 0, 0, 0
        pids = tree(self._root)
        for pid in pids:
            with suppress(OSError, ValueError, IndexError):
                fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
                cpu += sum(int(ticks) for ticks in fields[11:15]) / _TICKS
                count += 1
                its_own, its_shared = _memory(pid)
                own, shared = own + its_own, shared + its_shared
        memory = own + max(shared, _shared_without_name(pids))
        self._peak = max(self._peak, memory)
        self._cpu = max(self._cpu, cpu)
        return Sample(self._cpu, memory, max(count - self._own, 0))

    def peak(self) -> int | None:
        return self._peak or None

    def begin(self) -> None:
        self._peak = 0
        self._begun = time.monotonic()

    def finish(self) -> Callable[[], tuple[float, int | None]]:
        wall, before = time.monotonic() - self._begun, self._counted
        if wall < 1 / _TICKS:  # too short for what the kernel counts by, and for looking around
            return lambda: (0.0, self._peak or None)
        self._counted = self.sample().cpu_seconds
        used = min(self._counted - before, wall * _CPUS)
        found = (used, self._peak or None)
        return lambda: found

    def moved(self) -> bool:
        # Whatever is new was started by something that was there, which had to run for that.
        if self._ran and self._ran == _ran(self._ran):
            return False
        self._ran = _ran(_threads(self._root))
        return True

    def processes(self) -> list[int]:
        return tree(self._root)

    def remove(self) -> None:
        """Nothing was made."""


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of a process: its own, with the tables that manage them; and resident shared ones."""
    found = {}
    with open(f"/proc/{pid}/status", "rb") as lines:
        for line in lines:
            if line.startswith((b"Rss", b"VmPTE")):
                name, kilobytes = line.split()[:2]
                found[name] = int(kilobytes) * 1024
    shared = found.pop(b"RssShmem:", 0)
    return sum(found.values()), shared


def _shared_without_name(pids: list[int]) -> int:
    here = memory_device()
    return sum(size for (device, _), size in unnamed_files(pids).items() if device == here)


def _ran(paths: Iterable[str]) -> dict[str, bytes]:
    """How much each thread has run until now, as the kernel says it."""
    found = {}
    for path in paths:
        with suppress(OSError):
            found[path] = Path(path).read_bytes()
    return found


def _threads(root: int) -> list[str]:
    found = []
    for pid in tree(root):
        with suppress(OSError):
            found += [
                f"/proc/{pid}/task/{task}/schedstat" for task in os.listdir(f"/proc/{pid}/task")
            ]
    return found


def tree(root: int) -> list[int]:
    """A process and all below it, by their ids."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with suppress(OSError):
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                    todo.extend(int(child) for child in children)
    return found
