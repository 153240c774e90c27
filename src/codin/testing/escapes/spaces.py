"""Namespaces: processes, users, memory and names of the host's; control groups and /sys."""

from __future__ import annotations

import contextlib

from codin.sandbox.errors import CommandNotFound
from codin.testing.escapes.base import Act, Attempt, Code, Ground, Held, NotRun
from codin.testing.escapes.weaken import (
    Bare,
    Weaker,
    add,
    caps,
    master,
    nested_users,
    no_filter,
    share,
)

_REFUSED = ("EPERM", "EACCES", "ENOSYS", "EINVAL", "ENOSPC", "EUSERS")
_NOT_THERE = ("ENOENT", "ENOTDIR", "EACCES", "EPERM", "EROFS", "nothing")
_NESTED = Weaker("no filter, and nested user namespaces", (no_filter, nested_users))
_ADMIN = Weaker(
    "no filter, CAP_SYS_ADMIN, and root of its namespaces",
    (no_filter, master, caps("CAP_SYS_ADMIN")),
)
_GROUPS = Weaker(
    "the host's control groups are shown, writable",
    (add("--bind", "/sys/fs/cgroup", "/sys/fs/cgroup"),),
    root=True,
)

_FORKED = """
pid = {call}
if pid == 0: os._exit(0)
os.waitpid(pid, 0x40000000)
got("a user namespace of its own")
"""


async def _kill_everybody(ground: Ground) -> str:
    """A signal to everybody that can be named must not reach the host."""
    code = "os.kill(-1, 10); time.sleep(0.2)"
    try:
        await ground.inside(code)
    finally:
        if ground.scene.hit:
            return "a process of the host's was hit"  # noqa: B012 - whatever came of the code
    raise Held("nothing")


async def _kill_init(ground: Ground) -> str:
    """Killing what holds the sandbox together must not set anybody free."""
    code = (
        "for number in (1, 2, 3, 15, 9):\n"
        "    try: os.kill(1, number)\n    except OSError: pass\ntime.sleep(0.2)"
    )
    with contextlib.suppress(Held, RuntimeError):
        await ground.inside(code)
    result = await ground.sandbox.exec(["true"])
    if result.exit_code != 0:
        return "the sandbox does not work any more"
    raise Held("nothing")


async def _forged_note(ground: Ground) -> str:
    """What the launcher says of a command that it could not start, said by one that runs."""
    code = (
        "for fd in range(3, 64):\n"
        "    for said in (b'missing\\n', b'{\"exit-code\": 7}\\n', b'N missing'):\n"
        "        try: os.write(fd, said)\n        except OSError: pass\n"
    )
    try:
        await ground.inside(code)
    except CommandNotFound:
        return "the host believes that the command was not there"
    raise Held("nothing")


ATTEMPTS = (
    Attempt(
        "launcher-forged",
        "say in the launcher's name that it could not be started",
        ("nothing",),
        Act(_forged_note),
        NotRun("a command that ends with the launcher's exit code may say the same by that"),
        own=True,
    ),
    Attempt(
        "signal-host",
        "send a signal to a process of the host",
        ("ESRCH", "EPERM"),
        Code("os.kill(H['victim'], 10); got('sent')"),
        Weaker("the host's processes are shared", (share("pid"),)),
    ),
    Attempt(
        "signal-platform",
        "ask whether the platform's own process can be reached",
        ("ESRCH", "EPERM"),
        Code("os.kill(H['platform'], 0); got('it can')"),
        Weaker("the host's processes are shared", (share("pid"),)),
    ),
    Attempt(
        "signal-everybody",
        "send a signal to every process there is",
        ("nothing", "ESRCH"),
        Act(_kill_everybody),
        NotRun("with the host's processes shared it would reach every process of this user"),
        own=True,
    ),
    Attempt(
        "signal-init",
        "kill the init of its own namespace",
        ("nothing",),
        Act(_kill_init),
        NotRun("the kernel itself lets no process kill the init of its own namespace"),
        own=True,
    ),
    Attempt(
        "arguments-of-processes",
        "read the arguments of the host's processes",
        ("nothing", "ENOENT"),
        Code(
            "each([p for p in os.listdir('/proc') if p.isdigit()],"
            " lambda p: secret(open(f'/proc/{p}/cmdline', 'rb').read()))"
        ),
        Weaker("the host's processes are shared", (share("pid"),)),
    ),
    Attempt(
        "environment-of-processes",
        "read the environment of the host's processes",
        ("nothing", "ENOENT", "EACCES", "ESRCH"),
        Code(
            "each([p for p in os.listdir('/proc') if p.isdigit()],"
            " lambda p: secret(open(f'/proc/{p}/environ', 'rb').read()))"
        ),
        Bare("no sandbox: a plain process that sees the host's"),
    ),
    Attempt(
        "memory-of-processes",
        "read the memory of the host's processes",
        ("nothing", "ENOENT", "EACCES", "ESRCH", "EIO"),
        Code(
            """
def look(p):
    for line in open(f"/proc/{p}/maps"):
        if "[heap]" in line or "[stack]" in line:
            start, end = (int(n, 16) for n in line.split()[0].split("-"))
            with open(f"/proc/{p}/mem", "rb", 0) as memory:
                memory.seek(start)
                data = memory.read(end - start)
            if b"codin-secret" in data and p != str(os.getpid()): secret(data)
each([str(H["victim"])], look)
"""
        ),
        Bare("no sandbox: a plain process that sees the host's"),
    ),
    Attempt(
        "shared-memory",
        "read shared memory of the host by its key",
        ("ENOENT", "EACCES", "ENOSYS"),
        Code(
            "libc.shmat.restype = ctypes.c_void_p\n"
            "at = libc.shmat(call('shmget', H['shmkey'], 0, 0), None, 0o10000)\n"
            "secret(ctypes.string_at(at, 100))"
        ),
        Weaker("the host's shared memory is shared", (share("ipc"),)),
    ),
    Attempt(
        "user-namespace",
        "make a user namespace, in which it would be root",
        _REFUSED,
        Code("call('unshare', 0x10000000); got('a user namespace of its own')"),
        _NESTED,
    ),
    Attempt(
        "user-namespace-by-clone",
        "make a user namespace with a new process",
        _REFUSED,
        Code(_FORKED.format(call="call('clone', 0x10000000 | 17, 0, 0, 0, 0)")),
        Weaker("nested user namespaces", (nested_users, no_filter)),
    ),
    Attempt(
        "user-namespace-by-clone3",
        "make a user namespace with a new process, by the newer call",
        _REFUSED,
        Code(
            _FORKED.format(
                call="call('clone3', memory("
                "struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0)), 64)"
            )
        ),
        Weaker("nested user namespaces", (nested_users, no_filter)),
    ),
    Attempt(
        "mount-namespace",
        "make a namespace of mounts",
        _REFUSED,
        Code("call('unshare', 0x00020000); got('mounts of its own')"),
        _ADMIN,
    ),
    Attempt(
        "network-namespace",
        "make a namespace of networks",
        _REFUSED,
        Code("call('unshare', 0x40000000); got('networks of its own')"),
        _ADMIN,
    ),
    Attempt(
        "namespace-joined",
        "join the namespace of another process",
        _REFUSED,
        Code("call('setns', os.open('/proc/1/ns/uts', os.O_RDONLY), 0); got('joined')"),
        _ADMIN,
    ),
    Attempt(
        "host-name",
        "change the name of the host",
        _REFUSED,
        Code("libc.sethostname(b'codin', 5) and held('EPERM'); got('changed')"),
        _ADMIN,
    ),
    Attempt(
        "group-left",
        "leave its control group, and the limits with it",
        _NOT_THERE,
        Code(
            "import glob\n"
            "for f in glob.glob('/sys/fs/cgroup/**/cgroup.procs', recursive=True):\n"
            "    with open(f, 'w') as file: file.write(str(os.getpid()))\n"
            "    got(f)"
        ),
        _GROUPS,
    ),
    Attempt(
        "group-release",
        "have the host run a program when a control group is empty",
        _NOT_THERE,
        Code(
            "import glob\n"
            "for f in glob.glob('/sys/fs/cgroup/*/release_agent'):\n"
            "    os.close(os.open(f, os.O_WRONLY)); got(f)"
        ),
        Weaker(
            "the host's control groups are shown, writable: it is opened, and nothing written",
            (add("--bind", "/sys/fs/cgroup", "/sys/fs/cgroup"),),
            root=True,
        ),
    ),
    Attempt(
        "group-mounted",
        "mount the control groups",
        _REFUSED,
        Code(
            "os.makedirs('/tmp/c', exist_ok=True)\n"
            "got(call('mount', b'none', b'/tmp/c', b'cgroup2', 0, 0))"
        ),
        _ADMIN,
    ),
    Attempt(
        "group-named",
        "learn the name of its group on the host",
        ("nothing", "ENOENT"),
        Code("t = open('/proc/self/cgroup').read()\nif 'codin' in t: got(t)"),
        Weaker("the host's control groups are named", (share("cgroup"),), root=True),
    ),
    Attempt(
        "sysfs",
        "look at the machine's devices in /sys",
        _NOT_THERE,
        Code("got(os.listdir('/sys/devices'))"),
        Weaker("/sys is shown", (add("--ro-bind", "/sys", "/sys"),)),
    ),
    Attempt(
        "sysfs-written",
        "open what changes the machine in /sys for writing",
        _NOT_THERE,
        Code(
            "each(['/sys/power/state', '/sys/kernel/uevent_helper', '/sys/kernel/profiling',"
            " '/sys/kernel/mm/transparent_hugepage/enabled'],"
            " lambda p: (os.close(os.open(p, os.O_WRONLY)), got(p)))"
        ),
        Weaker(
            "/sys is shown, writable: it is opened, and nothing written",
            (add("--bind", "/sys", "/sys"),),
            root=True,
        ),
    ),
)
