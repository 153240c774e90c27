"""What a tree of processes uses: from its control group, or by looking at each process."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codin.sandbox.box.cgroup import OWN_PROCESSES, Group

_PAGE = os.sysconf("SC_PAGE_SIZE")
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
        """The most memory used since ``reset``, in bytes."""

    @abstractmethod
    def reset(self) -> None: ...

    @abstractmethod
    def remove(self) -> None: ...


class GroupMeter(Meter):
    """Reads a control group, which also keeps the limits on memory and processes."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._last = Sample()
        self._peak: int | None = None

    def sample(self) -> Sample:
        cpu = self._group.cpu_seconds()
        if cpu:  # 0 once the group is gone: then the last look is the truth
            self._last = Sample(cpu_seconds=cpu, oom_kills=self._group.oom_kills())
            self._peak = self._group.memory_peak()
        return self._last

    def peak(self) -> int | None:
        return self._peak

    def reset(self) -> None:
        self._group.reset_peak()

    def remove(self) -> None:
        self.sample()
        self._group.remove()


class TreeMeter(Meter):
    """Adds up what the processes below a root say in ``/proc``: approximate, and needs no rights.

    ``own`` of them are not the code's. Memory is resident memory, so shared pages count once for
    each process that has them.
    """

    def __init__(self, root_pid: int, *, own: int = OWN_PROCESSES) -> None:
        self._root = root_pid
        self._own = own
        self._peak = 0
        self._cpu = 0.0

    def sample(self) -> Sample:
        cpu, memory, count = 0.0, 0, 0
        for pid in _tree(self._root):
            with suppress(OSError, ValueError, IndexError):
                fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
                cpu += sum(int(ticks) for ticks in fields[11:15]) / _TICKS
                memory += int(fields[21]) * _PAGE
                count += 1
        self._peak = max(self._peak, memory)
        self._cpu = max(self._cpu, cpu)
        return Sample(self._cpu, memory, max(count - self._own, 0))

    def peak(self) -> int | None:
        return self._peak or None

    def reset(self) -> None:
        self._peak = 0

    def remove(self) -> None:
        """Nothing was made."""


def _tree(root: int) -> list[int]:
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
