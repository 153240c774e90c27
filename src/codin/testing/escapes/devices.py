"""Devices and terminals."""

from __future__ import annotations

from codin.testing.escapes.base import Attempt, Code, NotRun
from codin.testing.escapes.weaken import Bare, Weaker, add, caps, host_devices, no_filter, share

_NOT_THERE = ("ENOENT", "EACCES", "EPERM", "ENXIO", "ENODEV", "nothing")
_HOST = Weaker("the host's /dev is shown", (host_devices,), root=True)


def _device(name: str, what: str, flags: str = "os.O_RDWR") -> Attempt:
    code = f"os.close(os.open('/dev/{name}', {flags} | os.O_NONBLOCK)); got('opened')"
    return Attempt(
        f"device-{name.replace('/', '-')}", f"open {what}", _NOT_THERE, Code(code), _HOST
    )


ATTEMPTS = (
    Attempt(
        "devices",
        "find a device besides the harmless ones",
        ("nothing",),
        Code(
            """
import stat
harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
found = []
for folder, _, names in os.walk("/dev"):
    for name in names:
        kind = os.lstat(f"{folder}/{name}").st_mode
        if stat.S_ISBLK(kind) or (stat.S_ISCHR(kind) and name not in harmless):
            found.append(f"{folder}/{name}")
if found: got(found[:5])
"""
        ),
        Weaker("the host's /dev is shown", (host_devices,)),
    ),
    Attempt(
        "disk",
        "read the host's disk",
        _NOT_THERE,
        Code(
            """
import stat
disks = [f"/dev/{n}" for n in os.listdir("/dev") if stat.S_ISBLK(os.lstat(f"/dev/{n}").st_mode)]
def look(disk):
    if data := os.read(os.open(disk, os.O_RDONLY), 4096): got((disk, len(data)))
each(disks, look)
"""
        ),
        NotRun("a kernel may refuse to read its disk to root too, and this one does"),
    ),
    _device("kmsg", "the kernel's log for writing", "os.O_WRONLY"),
    _device("kvm", "the machine's virtualisation"),
    _device("fuse", "the way to file systems of its own"),
    _device("net/tun", "the way to network devices of its own"),
    _device("loop-control", "the way to mount files"),
    Attempt(
        "device-mem",
        "open the machine's memory",
        _NOT_THERE,
        Code("os.close(os.open('/dev/mem', os.O_RDONLY)); got('opened')"),
        NotRun("few kernels still have it, and this machine's may not"),
    ),
    Attempt(
        "device-made",
        "make a device",
        ("EPERM", "EACCES", "ENOSYS"),
        Code("os.mknod('disk', 0o60600, os.makedev(7, 0)); got('made')"),
        Weaker("the host's users, and CAP_MKNOD", (share("user"), caps("CAP_MKNOD")), root=True),
        own=True,
    ),
    Attempt(
        "device-made-and-opened",
        "make a device and open it",
        ("EPERM", "EACCES", "ENOSYS"),
        Code(
            "os.mknod('/workspace/n', 0o20666, os.makedev(1, 3))\n"
            "os.open('/workspace/n', os.O_RDWR); got('opened')"
        ),
        Weaker(
            "the host's users, CAP_MKNOD, and devices allowed in a folder",
            (
                share("user"),
                no_filter,
                caps("CAP_MKNOD"),
                add("--dev-bind", "{folder}", "/workspace"),
            ),
            root=True,
        ),
        own=True,
    ),
    Attempt(
        "terminal-of-host",
        "write to a terminal of the host",
        _NOT_THERE,
        Code("os.write(os.open(H['pty'], os.O_WRONLY | os.O_NOCTTY), b'x'); got('written')"),
        Weaker("the host's /dev is shown", (host_devices,)),
    ),
    Attempt(
        "terminal-own",
        "open the terminal that the platform runs in",
        (*_NOT_THERE, "EIO"),
        Code("os.open('/dev/tty', os.O_RDWR); got('opened')"),
        Bare("no sandbox: a plain process on a terminal", terminal=True),
    ),
    Attempt(
        "terminal-typed",
        "type into the terminal that the platform runs in",
        ("ENOTTY", "ENXIO", "EIO", "EPERM", "ENODEV"),
        Code(
            "import fcntl\n"
            "each((0, 1, 2), lambda fd: (fcntl.ioctl(fd, 0x5412, b'x'), got('typed')))"
        ),
        Bare("no sandbox: a plain process on a terminal, where the kernel lets it", terminal=True),
    ),
)
