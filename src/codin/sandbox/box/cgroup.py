"""Control groups: limits that the kernel keeps over a whole tree of processes.

Version 1 and version 2 hierarchies are spoken, whichever can be written here. Groups are made at
the root of the hierarchy (``/codin/<owner>/...``), as container engines do; the owner is the
platform's process id and the namespace in which that id means something.
"""

from __future__ import annotations

import contextlib
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from time import sleep

from codin.process_name import process_lives, process_name
from codin.sandbox.base import Limits

ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000
"""Microseconds."""
OWN_PROCESSES = 3
"""Processes of a box that are not the code's own: the launcher, bubblewrap, and its init."""


class Counter:
    """A file of the kernel's, kept open: reading it anew takes a microsecond."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def read(self) -> bytes:
        """What it says now; nothing when it is not there."""
        try:
            return os.pread(self._open(), 4096, 0)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Write to it, where that can be done."""
        with contextlib.suppress(OSError):
            os.pwrite(self._open(), data, 0)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = -1  # which nothing is: after its end it says nothing

    def _open(self) -> int:
        if self._fd is None:
            try:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except PermissionError:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd


class Group(ABC):
    """One group, made on construction. Every read gives ``None`` or 0 when it is not known.

    ``cpu`` and ``peak`` are what it says of processor time and memory; ``seconds`` and
    ``peak_bytes`` tell what that means.
    """

    cpu: Counter
    peak: Counter
    events: Counter

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def join(self) -> list[Path]:
        """The files to which a process writes its id to enter."""
        return [folder / "cgroup.procs" for folder in self._folders]

    def processes(self) -> list[int]:
        """What runs in it, by this machine's numbers."""
        try:
            return [int(pid) for pid in self.join[0].read_text().split()]
        except OSError:
            return []

    @abstractmethod
    def limit(self, limits: Limits, *, processes: bool = True) -> None: ...

    @staticmethod
    @abstractmethod
    def seconds(said: bytes) -> float:
        """Processor time, of what ``cpu`` said."""

    @staticmethod
    def peak_bytes(said: bytes) -> int | None:
        """The most memory used since ``reset_peak``, of what ``peak`` said."""
        return _number(said)

    def memory_peak(self) -> int | None:
        """Bytes, since the last ``reset_peak``."""
        return self.peak_bytes(self.peak.read())

    def reset_peak(self) -> None:
        # The kernel takes any write for it. Of version 2 it does so since 6.12, and then for who
        # reads through the same descriptor; before that the peak stays that of the whole life.
        self.peak.write(b"0")

    def cpu_seconds(self) -> float:
        return self.seconds(self.cpu.read())

    def oom_kills(self) -> int:
        return _field(self.events.read(), b"oom_kill")

    def close(self) -> None:
        """Read no more."""
        for counter in (self.cpu, self.peak, self.events):
            counter.close()

    def remove(self) -> None:
        """Take the group away; what still runs in it is killed."""
        self.close()
        for folder in self._folders:
            _remove(folder)


GroupKind = Callable[[str], Group]
"""Makes a group of the given name."""


class GroupV1(Group):
    """A group in each of the version 1 hierarchies ``memory``, ``pids`` and ``cpuacct``, and in
    ``cpu`` where processors are limited."""

    def __init__(self, name: str) -> None:
        self._memory, self._pids, self._cpu = (
            ROOT / controller / "codin" / name for controller in ("memory", "pids", "cpuacct")
        )
        self._share = ROOT / "cpu" / "codin" / name
        super().__init__([self._memory, self._pids, self._cpu])
        self.cpu = Counter(self._cpu / "cpuacct.usage")
        self.peak = Counter(self._memory / "memory.max_usage_in_bytes")
        self.events = Counter(self._memory / "memory.oom_control")

    def limit(self, limits: Limits, *, processes: bool = True) -> None:
        if limits.memory_bytes is not None:
            # The one with swap, which is only where that is accounted, may never be the smaller.
            with_swap = self._memory / "memory.memsw.limit_in_bytes"
            for path in (with_swap, self._memory / "memory.limit_in_bytes", with_swap):
                with contextlib.suppress(*([OSError] if path is with_swap else [])):
                    path.write_text(str(limits.memory_bytes))
        if processes and limits.processes is not None:
            (self._pids / "pids.max").write_text(str(limits.processes + OWN_PROCESSES))
        if limits.cpus is not None:
            self._share.mkdir(parents=True, exist_ok=True)
            (self._share / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (self._share / "cpu.cfs_quota_us").write_text(str(_quota(limits.cpus)))
            if self._share not in self._folders:
                self._folders.append(self._share)

    def remove(self) -> None:
        super().remove()
        _remove(self._share)

    @staticmethod
    def seconds(said: bytes) -> float:
        return (_number(said) or 0) / 1e9


class GroupV2(Group):
    """A group of the one version 2 hierarchy."""

    def __init__(self, name: str) -> None:
        if not _version_2():
            raise OSError(f"{ROOT} is no hierarchy of version 2")
        self._folder = ROOT / "codin" / name
        for parent in reversed(self._folder.relative_to(ROOT).parents):
            above = ROOT / parent
            above.mkdir(exist_ok=True)
            (above / "cgroup.subtree_control").write_text("+memory +pids")
        super().__init__([self._folder])
        self.cpu = Counter(self._folder / "cpu.stat")
        self.peak = Counter(self._folder / "memory.peak")
        self.events = Counter(self._folder / "memory.events")

    def limit(self, limits: Limits, *, processes: bool = True) -> None:
        if limits.memory_bytes is not None:
            (self._folder / "memory.max").write_text(str(limits.memory_bytes))
            (self._folder / "memory.oom.group").write_text("1")
            with contextlib.suppress(OSError):
                (self._folder / "memory.swap.max").write_text("0")
        if processes and limits.processes is not None:
            (self._folder / "pids.max").write_text(str(limits.processes + OWN_PROCESSES))
        if limits.cpus is not None:
            for parent in reversed(self._folder.relative_to(ROOT).parents):
                (ROOT / parent / "cgroup.subtree_control").write_text("+cpu")
            (self._folder / "cpu.max").write_text(f"{_quota(limits.cpus)} {_PERIOD}")

    @staticmethod
    def seconds(said: bytes) -> float:
        return _field(said, b"usage_usec") / 1e6


class ForeignGroup:
    """The group that an engine made for a container: only read, which anybody may."""

    def __init__(self, events: Path) -> None:
        self._events = Counter(events)

    @classmethod
    def of_process(cls, pid: int) -> ForeignGroup:
        """The group of a process, as this machine counts it, that keeps its memory."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                if "memory" in controllers.split(","):
                    return cls(ROOT / "memory" / path.lstrip("/") / "memory.oom_control")
                if not controllers and _version_2():
                    return cls(ROOT / path.lstrip("/") / "memory.events")
        return cls(ROOT / "nowhere")

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        return _field(self._events.read(), b"oom_kill")

    def close(self) -> None:
        """Read no more."""
        self._events.close()


def find_kind() -> GroupKind | None:
    """The kind of group that can be made on this machine, found by making one."""
    kinds: tuple[GroupKind, ...] = (GroupV1, GroupV2)
    for kind in kinds:
        try:
            group = kind(f"{process_name()}/probe")
            group.limit(Limits())
        except OSError:
            continue
        group.remove()
        return kind
    return None


def limits_cpus(kind: GroupKind) -> bool:
    """Whether groups of that kind limit processors on this machine, found by making one."""
    group = kind(f"{process_name()}/probe-cpus")
    try:
        group.limit(Limits(cpus=1.0))
    except OSError:
        return False
    finally:
        group.remove()
    return True


def sweep() -> None:
    """Remove what platforms that were killed have left behind, with whatever runs in it."""
    bases = [ROOT / name / "codin" for name in ("memory", "pids", "cpuacct", "cpu")]
    for base in [*bases, ROOT / "codin"] if _version_2() else bases:
        with contextlib.suppress(OSError):
            for left in list(base.iterdir()):
                if left.is_dir() and not process_lives(left.name):
                    for folder, _, _ in os.walk(left, topdown=False):
                        _remove(Path(folder))


def _quota(cpus: float) -> int:
    """Microseconds of processor time in each period; the kernel takes no less than a thousand."""
    return max(int(cpus * _PERIOD), 1000)


def _version_2() -> bool:
    """Whether the one hierarchy is at the root, and not a plain folder with others in it."""
    return (ROOT / "cgroup.controllers").exists()


def _remove(folder: Path) -> None:
    for _ in range(20):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            sleep(0.002)
        else:
            return


def _number(said: bytes) -> int | None:
    try:
        return int(said)
    except ValueError:
        return None


def _field(said: bytes, name: bytes) -> int:
    lines = (line.split() for line in said.splitlines())
    return next((int(line[1]) for line in lines if line[:1] == [name]), 0)
