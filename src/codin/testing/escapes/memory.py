"""More memory than it may have, in every way in which a process can hold some."""

from __future__ import annotations

from dataclasses import replace

from codin.sandbox.base import MIB
from codin.testing.escapes.base import LIMITS, Attempt, Code, Control, NotRun
from codin.testing.escapes.weaken import Weaker, no_filter

_LIMITS = replace(LIMITS, memory_bytes=96 * MIB, disk_bytes=64 * MIB)
_UNLIMITED = Weaker("no limit on memory", limits=replace(_LIMITS, memory_bytes=None))
_ENDED = ("OutOfMemory", "ENOMEM", "SandboxGone", "signal 9")
_HOLD = "\ntime.sleep(2); got('{what}')"


def _bomb(
    identity: str, tries: str, code: str, *also: str, control: Control = _UNLIMITED
) -> Attempt:
    """Code that takes more than twice what it may, and keeps it until it would have been seen."""
    held = code + _HOLD.format(what="more than twice the limit")
    return Attempt(
        identity, tries, (*_ENDED, *also), Code(held), control, _LIMITS, own=True, alone=True
    )


def _kept_in(identity: str, folder: str) -> Attempt:
    return Attempt(
        identity,
        f"hold too much memory in {folder}",
        ("ENOSPC", *_ENDED, "DiskLimit", "EDQUOT"),
        Code(
            "for n in range(30):\n"
            f"    with open(f'{folder}/{{n}}', 'wb') as f: f.write(bytes(8 << 20))\n"
            "time.sleep(1); got('240 MiB')"
        ),
        Weaker("no limit on the disk", limits=replace(_LIMITS, memory_bytes=None, disk_bytes=None)),
        _LIMITS,
        own=True,
        alone=True,
    )


ATTEMPTS = (
    _bomb("memory", "hold too much memory", "kept = bytearray(240 << 20)"),
    _bomb(
        "memory-slowly",
        "hold too much memory, a little more at a time",
        "kept = []\nfor n in range(240): kept.append(bytearray(1 << 20)); time.sleep(0.002)",
    ),
    _bomb(
        "memory-of-children",
        "hold too much memory in several processes",
        """
for n in range(5):
    if os.fork() == 0:
        kept = bytearray(48 << 20); time.sleep(6); os._exit(0)
time.sleep(1)
try:
    while os.waitpid(-1, os.WNOHANG)[0]: held("ENOMEM")
except ChildProcessError: held("ENOMEM")
""",
    ),
    _bomb(
        "memory-of-daemons",
        "hold too much memory in processes that have left their parents",
        """
for n in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        kept = bytearray(48 << 20); open(f"/tmp/{n}", "w").close(); time.sleep(6); os._exit(0)
while not all(os.path.exists(f"/tmp/{n}") for n in range(5)): time.sleep(0.05)
""",
    ),
    _bomb(
        "memory-mapped",
        "hold too much memory by mmap",
        "import mmap\n"
        "kept = mmap.mmap(-1, 240 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "for at in range(0, 240 << 20, 4096): kept[at] = 1",
    ),
    _bomb(
        "memory-shared",
        "hold too much shared memory, filled by children that are gone",
        """
import mmap
kept = mmap.mmap(-1, 240 << 20)
for part in range(12):
    if os.fork() == 0:
        for at in range(part * (20 << 20), (part + 1) * (20 << 20), 4096): kept[at] = 1
        os._exit(0)
    _, status = os.wait()
    if status: held("ENOMEM")
""",
    ),
    _bomb(
        "memory-files",
        "hold too much memory in files that have no name (memfd)",
        """
kept = []
for n in range(12):
    fd = os.memfd_create(str(n)); kept.append(fd)
    for part in range(20): os.write(fd, bytes(1 << 20))
""",
        "EPERM",
        "EFBIG",
        "ENOSYS",
    ),
    _bomb(
        "memory-files-mapped",
        "hold too much memory in files that have no name, closed and only mapped",
        """
libc.mmap.restype = ctypes.c_void_p
for n in range(12):
    fd = os.memfd_create(str(n))
    for part in range(20): os.write(fd, bytes(1 << 20))
    at = libc.mmap(None, ctypes.c_size_t(20 << 20), 3, 1, fd, ctypes.c_long(0))
    if at in (None, 2**64 - 1): held("ENOMEM")
    os.close(fd)
""",
        "EPERM",
        "EFBIG",
        "ENOSYS",
    ),
    _bomb(
        "memory-segments",
        "hold too much memory in segments of System V that nobody has attached",
        """
libc.shmat.restype = ctypes.c_void_p
for n in range(12):
    segment = call("shmget", 0, 20 << 20, 0o1600)
    at = libc.shmat(segment, None, 0)
    if at in (None, 2**64 - 1): held("ENOMEM")
    ctypes.memset(at, 1, 20 << 20)
    libc.shmdt(ctypes.c_void_p(at))
""",
        "EPERM",
        "ENOSPC",
        "ENOSYS",
        control=Weaker(
            "no limit on memory, and no filter of system calls",
            (no_filter,),
            limits=replace(_LIMITS, memory_bytes=None),
        ),
    ),
    _bomb(
        "memory-page-tables",
        "have the kernel hold too much memory to manage its own",
        """
libc.mmap.restype = ctypes.c_void_p
step, size = 2 << 20, 64 << 30
for n in range(2):
    at = libc.mmap(None, ctypes.c_size_t(size), 1, 0x4022, -1, ctypes.c_long(0))
    if at in (None, 2**64 - 1): held("ENOMEM")
    libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), 15)
    for page in range(at, at + size, step): ctypes.string_at(page, 1)
""",
    ),
    _bomb(
        "memory-pipes",
        "have the kernel hold too much memory in pipes",
        """
import fcntl
kept = []
for n in range(240):
    reading, writing = os.pipe(); kept.append((reading, writing))
    fcntl.fcntl(writing, 1031, 1 << 20)
    os.set_blocking(writing, False)
    os.write(writing, bytes(1 << 20))
""",
        "EPERM",
        "EAGAIN",
        "EMFILE",
        control=NotRun("the kernel itself keeps down what the pipes of one user hold"),
    ),
    _kept_in("memory-of-tmp", "/tmp"),
    _kept_in("memory-of-shm", "/dev/shm"),
)
