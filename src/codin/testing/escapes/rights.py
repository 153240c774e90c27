"""Rights that nobody inside has: users, capabilities, set-user-id programs, priorities."""

from __future__ import annotations

from dataclasses import replace

from codin.testing.escapes.base import LIMITS, Attempt, Code, NotRun
from codin.testing.escapes.weaken import Bare, Weaker, caps, no_filter, share

_REFUSED = ("EPERM", "EACCES", "EINVAL", "ENOSYS")
_NO_FILTER = Weaker("no filter of system calls", (no_filter,))


def _host_rights(*names: str) -> Weaker:
    words = f"the host's users, and {', '.join(names)}"
    return Weaker(words, (share("user"), no_filter, caps(*names)), root=True)


def _marked(identity: str, how: str, code: str) -> Attempt:
    """A set-user-id program in the workspace is one of the platform's user, on the host."""
    check = "mode = os.stat('s').st_mode\nif mode & 0o6000: got(oct(mode))\n"
    return Attempt(
        identity,
        f"leave a program in the workspace that runs as the platform's user, by {how}",
        (*_REFUSED, "nothing"),
        Code(f"open('s', 'w').close()\n{code}\n{check}"),
        _NO_FILTER,
        own=True,
    )


_OPEN_HOW = "struct.pack('QQQ', os.O_CREAT | os.O_WRONLY, 0o4755, 0)"

ATTEMPTS = (
    Attempt(
        "capabilities",
        "hold any capability",
        ("nothing",),
        Code(
            "for line in open('/proc/self/status'):\n"
            "    if line.startswith(('CapEff', 'CapPrm', 'CapBnd', 'CapAmb')):\n"
            "        if int(line.split()[1], 16): got(line)"
        ),
        Weaker("capabilities are not dropped", (caps("ALL"),)),
    ),
    Attempt(
        "user-changed",
        "become another user",
        _REFUSED,
        Code(
            "def become(uid):\n    os.setresuid(uid, uid, uid); got(os.getuid())\n"
            "each((0, 65534, 1), become) if os.getuid() else each((65534,), become)"
        ),
        Bare("no sandbox: a plain process of root", root=True),
    ),
    Attempt(
        "groups-changed",
        "join other groups",
        _REFUSED,
        Code("os.setgroups([0]); got(os.getgroups())"),
        Bare("no sandbox: a plain process of root", root=True),
    ),
    Attempt(
        "new-privileges",
        "gain rights by a set-user-id program",
        ("nothing",),
        Code("if libc.prctl(39, 0, 0, 0, 0) == 0: got('such programs work')"),
        Bare(),
    ),
    Attempt(
        "new-privileges-again",
        "take back that no program gives rights",
        _REFUSED,
        Code(
            "if libc.prctl(38, 0, 0, 0, 0) < 0 and libc.prctl(39, 0, 0, 0, 0): held('EINVAL')\n"
            "got('such programs work')"
        ),
        Bare(),
    ),
    _marked("setuid-by-chmod", "chmod", "os.chmod('s', 0o4755)"),
    _marked("setgid-by-chmod", "chmod to its group", "os.chmod('s', 0o2755)"),
    _marked("setuid-by-fchmod", "fchmod", "call('fchmod', os.open('s', os.O_RDWR), 0o4755)"),
    _marked("setuid-by-fchmodat", "fchmodat", "call('fchmodat', -100, b's', 0o4755)"),
    _marked("setuid-by-fchmodat2", "fchmodat2", "call('fchmodat2', -100, b's', 0o4755, 0)"),
    _marked(
        "setuid-by-open", "open", "os.unlink('s'); os.open('s', os.O_CREAT | os.O_WRONLY, 0o4755)"
    ),
    _marked("setuid-by-creat", "creat", "os.unlink('s'); call('creat', b's', 0o4755)"),
    _marked(
        "setuid-by-openat2",
        "openat2",
        f"os.unlink('s'); call('openat2', -100, b's', {_OPEN_HOW}, 24)",
    ),
    _marked("setuid-by-mknod", "mknod", "os.unlink('s'); call('mknodat', -100, b's', 0o104755, 0)"),
    Attempt(
        "file-capabilities",
        "give a program capabilities",
        (*_REFUSED, "EOPNOTSUPP", "ENOTSUP"),
        Code(
            "open('f', 'w').close()\n"
            "os.setxattr('f', 'security.capability',"
            " struct.pack('<IIIII', 0x02000001, 0xffffffff, 0, 0, 0)); got('set')"
        ),
        _host_rights("CAP_SETFCAP"),
        own=True,
    ),
    Attempt(
        "owner-changed",
        "give a file to another user",
        _REFUSED,
        Code("open('o', 'w').close(); os.chown('o', 65534, -1); got(os.stat('o').st_uid)"),
        _host_rights("CAP_CHOWN"),
        own=True,
    ),
    Attempt(
        "file-immutable",
        "leave a file that nobody can remove",
        (*_REFUSED, "ENOTTY", "EOPNOTSUPP"),
        Code(
            """
import fcntl
fd = os.open("i", os.O_CREAT | os.O_RDWR)
flags = bytearray(fcntl.ioctl(fd, 0x80086601, b"\\0" * 8))
flags[0] |= 0x10
fcntl.ioctl(fd, 0x40086602, bytes(flags))
flags[0] &= ~0x10
fcntl.ioctl(fd, 0x40086602, bytes(flags))
got("immutable, and back")
"""
        ),
        _host_rights("CAP_LINUX_IMMUTABLE"),
        own=True,
    ),
    Attempt(
        "priority",
        "go before the host's own work",
        _REFUSED,
        Code("os.setpriority(os.PRIO_PROCESS, 0, -5); got(os.getpriority(os.PRIO_PROCESS, 0))"),
        _host_rights("CAP_SYS_NICE"),
    ),
    Attempt(
        "real-time",
        "be scheduled in real time",
        _REFUSED,
        Code("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); got('FIFO')"),
        _host_rights("CAP_SYS_NICE"),
    ),
    Attempt(
        "memory-locked",
        "lock memory that the host may want back",
        ("ENOMEM", "EPERM", "EAGAIN"),
        Code(
            "import mmap\nm = mmap.mmap(-1, 64 << 20)\n"
            "at = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
            "if libc.mlock(ctypes.c_void_p(at), ctypes.c_size_t(64 << 20)):\n"
            "    raise OSError(ctypes.get_errno(), '')\ngot('64 MiB')"
        ),
        _host_rights("CAP_IPC_LOCK"),
    ),
    Attempt(
        "limits-raised",
        "raise the limit on the size of files",
        (*_REFUSED, "nothing"),
        Code(
            "import resource\n"
            "try: resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
            "except (OSError, ValueError): pass\n"
            "if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == -1: got('no limit')"
        ),
        Weaker("no limit on the disk", limits=replace(LIMITS, disk_bytes=None)),
    ),
    Attempt(
        "core-dump",
        "have the kernel write the memory of a crashed process to disk",
        ("nothing",),
        Code(
            """
import glob, resource
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
if os.fork() == 0:
    os.kill(os.getpid(), 11)
os.wait()
if found := glob.glob("core*"): got(found)
"""
        ),
        Bare("no sandbox: a plain process, on a machine that writes such files"),
        own=True,
    ),
    Attempt(
        "oom-score",
        "be spared when memory is short, instead of the platform",
        ("EROFS", "EACCES", "EPERM"),
        Code(
            "f = os.open('/proc/self/oom_score_adj', os.O_WRONLY)\nos.write(f, b'-500'); got('set')"
        ),
        NotRun("root of this machine may be without the right to do it, too"),
    ),
)
