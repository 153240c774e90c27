"""The kernel: calls and files that change it, look into it, or are known for their bugs."""

from __future__ import annotations

from codin.testing.escapes.base import Attempt, Code, NotRun
from codin.testing.escapes.weaken import (
    Bare,
    Weaker,
    caps,
    kernel_files_writable,
    master,
    no_filter,
    share,
)

_REFUSED = ("EPERM", "EACCES", "ENOSYS", "ESRCH", "EINVAL", "EROFS", "signal 31")
_READ_ONLY = ("EROFS", "EACCES", "EPERM", "ENOENT", "nothing")
_NO_FILTER = Weaker("no filter of system calls", (no_filter,))
_MOUNTER = Weaker(
    "no filter, CAP_SYS_ADMIN, and root of its namespaces",
    (no_filter, master, caps("CAP_SYS_ADMIN")),
)


def _root(*names: str) -> Weaker:
    words = f"no filter, the host's users, and {', '.join(names)}"
    return Weaker(words, (share("user"), no_filter, caps(*names)), root=True)


def _call(
    identity: str, tries: str, code: str, control: Weaker | Bare | NotRun = _NO_FILTER
) -> Attempt:
    return Attempt(identity, tries, _REFUSED, Code(code), control)


def _allowed(call: str, *errors: str) -> str:
    """Code for a call that is made so that it changes nothing: these errors mean it was allowed."""
    names = ", ".join(f"errno.{name}" for name in errors)
    return (
        f"try: got({call})\nexcept OSError as error:\n"
        f"    if error.errno in ({names},): got('allowed')\n    raise"
    )


_SHOCKER = """
handle = memory(struct.pack("Ii", 8, 1) + struct.pack("II", 2, 0) + bytes(64))
way = os.open("/usr", os.O_RDONLY)
root = call("open_by_handle_at", way, handle, os.O_RDONLY)
secret(os.read(os.open(H["file"].lstrip("/"), os.O_RDONLY, dir_fd=root), 100))
"""

_COMPAT = """
if os.uname().machine != "x86_64": held("ENOSYS")
import mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("53b820010000bb00000000b9feffffffba01000000cd805bc3"))
run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
if run() > 0: got("a key ring, by the 32-bit interface")
held("EPERM")
"""

_OWN_FILTER = """
allow = memory(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
program = memory(struct.pack("HxxxxxxP", 1, ctypes.addressof(allow)))
libc.prctl(38, 1, 0, 0, 0)
call("seccomp", 1, 0, program)
got(call("add_key", b"user", b"codin-escapes", b"x", 1, -2))
"""

_OPEN_SETTINGS = """
for folder, _, names in os.walk("/proc/sys"):
    for name in names:
        try: os.close(os.open(f"{folder}/{name}", os.O_WRONLY))
        except OSError: continue
        got(f"{folder}/{name} could be written to")
"""

_VM_READ = """
base = int(open("/proc/1/maps").readline().split("-")[0], 16)
to = memory(16)
here = memory(struct.pack("PL", ctypes.addressof(to), 16))
there = memory(struct.pack("PL", base, 16))
got(call("{name}", 1, here, 1, there, 1, 0))
"""

ATTEMPTS = (
    _call("ptrace", "trace the init of its own namespace", "got(call('ptrace', 0x4206, 1, 0, 0))"),
    _call(
        "ptrace-host",
        "trace a process of the host",
        "got(call('ptrace', 0x4206, H['victim'], 0, 0))",
        Bare("no sandbox: a plain process of the same user"),
    ),
    _call(
        "vm-read", "read the memory of another process", _VM_READ.format(name="process_vm_readv")
    ),
    _call(
        "vm-write",
        "write to the memory of another process",
        """
kept = os.fork()
if kept == 0: time.sleep(5); os._exit(0)
word = memory(b"changed")
one = memory(struct.pack("PL", ctypes.addressof(word), 7))
try: got(call("process_vm_writev", kept, one, 1, one, 1, 0))
finally: os.kill(kept, 9)
""",
    ),
    _call(
        "memory-of-init",
        "write to the memory of the init of its namespace, by /proc/1/mem",
        "os.open('/proc/1/mem', os.O_RDWR); got('opened')",
        Weaker("/proc is left writable", (kernel_files_writable,)),
    ),
    _call(
        "pidfd-getfd",
        "take a descriptor of another process",
        "got(call('pidfd_getfd', os.pidfd_open(1), 0, 0))",
    ),
    _call(
        "kcmp",
        "learn addresses of the kernel by comparing processes",
        "got(call('kcmp', os.getpid(), 1, 1, 0, 0))",
    ),
    _call(
        "key-added",
        "leave a key in the kernel's key rings",
        "got(call('add_key', b'user', b'codin-escapes', b'x', 1, -2))",
    ),
    _call(
        "key-ring", "use the key ring of the platform's session", "got(call('keyctl', 0, -2, 1))"
    ),
    _call(
        "key-requested",
        "have the kernel ask for a key",
        "got(call('request_key', b'user', b'codin-none', b'', -2))",
        NotRun("the kernel would start a program of the host's to make the key"),
    ),
    _call(
        "bpf",
        "load a program into the kernel",
        "got(call('bpf', 0, memory(struct.pack('IIII', 2, 4, 8, 1) + bytes(112)), 128))",
        _root("CAP_SYS_ADMIN", "CAP_BPF"),
    ),
    _call(
        "perf",
        "watch the processor's counters",
        "attr = bytearray(128); struct.pack_into('IIQ', attr, 0, 1, 128, 0)\n"
        "attr[40] = 0x60\ngot(call('perf_event_open', memory(bytes(attr)), 0, -1, -1, 0))",
    ),
    _call(
        "userfaultfd", "hold the kernel up in the middle of a call", "got(call('userfaultfd', 1))"
    ),
    _call(
        "io-uring",
        "have calls made by the kernel, past the filter",
        "got(call('io_uring_setup', 1, memory(120)))",
    ),
    _call(
        "kexec",
        "load another kernel",
        "got(call('kexec_load', 0, 0, 0, 0))",
        NotRun("what was loaded would replace the kernel of this machine"),
    ),
    _call(
        "module-loaded",
        "load a module into the kernel",
        _allowed("call('init_module', 0, 0, b'')", "EFAULT", "ENOEXEC"),
        NotRun(
            "it would stay in the kernel of this machine, which may have been built without modules"
        ),
    ),
    _call(
        "module-by-file",
        "load a module from a file",
        _allowed("call('finit_module', -1, b'', 0)", "EBADF", "ENOEXEC"),
        NotRun(
            "it would stay in the kernel of this machine, which may have been built without modules"
        ),
    ),
    _call(
        "module-removed",
        "remove a module of the kernel",
        _allowed("call('delete_module', b'codin-none', 0)", "ENOENT"),
        NotRun("this machine's kernel may have been built without modules"),
    ),
    _call(
        "kernel-log",
        "read the kernel's log by a call",
        "got(call('syslog', 10, 0, 0))",
        _root("CAP_SYSLOG"),
    ),
    _call(
        "kernel-log-file",
        "read the kernel's log by /proc/kmsg",
        "os.open('/proc/kmsg', os.O_RDONLY | os.O_NONBLOCK); got('opened')",
        NotRun("what is read there is taken from whoever else reads it"),
    ),
    _call(
        "restart",
        "restart the machine",
        _allowed("call('reboot', 0, 0, 0, 0)", "EINVAL").replace("errno.EINVAL", "errno.EINVAL"),
        _root("CAP_SYS_BOOT"),
    ),
    _call(
        "swap",
        "change what the machine swaps to",
        _allowed("call('swapon', 0, 0)", "EFAULT"),
        _root("CAP_SYS_ADMIN"),
    ),
    _call(
        "accounting",
        "end the host's accounting of processes",
        "got(call('acct', 0))",
        NotRun("it would end the accounting of this machine"),
    ),
    _call(
        "clock-set",
        "set the machine's clock",
        "got(call('clock_settime', 0, memory(struct.pack('qq', int(time.time()), 0))))",
        NotRun("it would set the clock of this machine"),
    ),
    _call(
        "clock-set-day",
        "set the machine's clock, the old way",
        "got(call('settimeofday', memory(struct.pack('qq', int(time.time()), 0)), 0))",
        NotRun("it would set the clock of this machine"),
    ),
    _call(
        "clock-adjusted",
        "let the machine's clock run faster",
        "got(call('clock_adjtime', 0, memory(struct.pack('Ixxxxqq', 2, 0, 1) + bytes(256))))",
        NotRun("it would change how the clock of this machine runs"),
    ),
    _call(
        "ports-of-io",
        "reach the ports of the machine's devices",
        "got(call(172, 3)) if os.uname().machine == 'x86_64' else held('ENOSYS')",
        NotRun("this machine's kernel may have been built without that call"),
    ),
    _call("old-interface", "make refused calls by the 32-bit interface", _COMPAT),
    _call(
        "x32-interface",
        "make refused calls by the x32 interface",
        "got(call(0x40000000 + 250, 0, -2, 1))",
        NotRun("few kernels are built with that interface"),
    ),
    _call(
        "filter-replaced", "put a filter that allows everything over the one there is", _OWN_FILTER
    ),
    _call(
        "mount",
        "mount a file system",
        "os.makedirs('/tmp/m', exist_ok=True)\n"
        "got(call('mount', b'none', b'/tmp/m', b'tmpfs', 0, 0))",
        _MOUNTER,
    ),
    _call(
        "mount-proc",
        "mount /proc anew, all of it",
        "os.makedirs('/tmp/m', exist_ok=True)\n"
        "got(call('mount', b'proc', b'/tmp/m', b'proc', 0, 0))",
        _MOUNTER,
    ),
    _call(
        "remount",
        "make what is read-only writable",
        "got(call('mount', b'none', b'/tmp', b'', 0x20 | 0x1000 | 2 | 4, 0))",
        _MOUNTER,
    ),
    _call(
        "bind",
        "mount one folder over another",
        "os.makedirs('/tmp/m', exist_ok=True)\n"
        "got(call('mount', b'/usr', b'/tmp/m', b'', 0x1000, 0))",
        _MOUNTER,
    ),
    _call(
        "unmount",
        "take away a mount that hides something",
        "got(call('umount2', b'/dev/shm', 2))",
        _MOUNTER,
    ),
    _call(
        "root-changed",
        "make another folder the root of its namespace",
        _allowed("call('pivot_root', b'/', b'/')", "EBUSY", "EINVAL"),
        _MOUNTER,
    ),
    _call(
        "mount-opened",
        "make a mount by the newer calls",
        "got(call('fsopen', b'tmpfs', 0))",
        _MOUNTER,
    ),
    _call(
        "tree-cloned",
        "take a copy of a tree of mounts",
        "got(call('open_tree', -100, b'/', 1))",
        _MOUNTER,
    ),
    _call(
        "mount-moved",
        "move a mount",
        _allowed("call('move_mount', -1, b'', -1, b'', 4)", "EBADF", "ENOENT"),
        _MOUNTER,
    ),
    _call(
        "mount-attributes",
        "change the attributes of a mount",
        "got(call('mount_setattr', -100, b'/tmp', 0, memory(struct.pack('QQQQ', 8, 0, 0, 0)), 32))",
        _MOUNTER,
    ),
    _call(
        "chroot",
        "leave by a second root folder",
        "os.chroot('/tmp'); got('chroot')",
        Weaker("CAP_SYS_CHROOT", (caps("CAP_SYS_CHROOT"),)),
    ),
    Attempt(
        "file-handle",
        "open the host's root folder by the number of its inode",
        _REFUSED,
        Code(_SHOCKER),
        _root("CAP_DAC_READ_SEARCH"),
    ),
    _call(
        "file-handle-named",
        "learn the handle of a file, by which it can be opened",
        _allowed(
            "call('name_to_handle_at', -100, b'/usr', memory(8), memory(8), 0)",
            "EOVERFLOW",
        ),
    ),
    Attempt(
        "settings",
        "open a setting of the kernel for writing, below /proc/sys",
        _READ_ONLY,
        Code(_OPEN_SETTINGS),
        Bare("no sandbox: a plain process of root", root=True),
    ),
    Attempt(
        "sysrq",
        "open /proc/sysrq-trigger for writing",
        _READ_ONLY,
        Code("os.close(os.open('/proc/sysrq-trigger', os.O_WRONLY)); got('opened')"),
        NotRun(
            "this machine's kernel may have none, and a byte written to one restarts the machine"
        ),
    ),
    Attempt(
        "core-pattern",
        "have the kernel start a program at the next crash",
        _READ_ONLY,
        Code("os.close(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)); got('opened')"),
        Bare("no sandbox: a plain process of root, which opens it and writes nothing", root=True),
    ),
    Attempt(
        "kernel-memory",
        "read the kernel's memory by /proc/kcore",
        _READ_ONLY,
        Code("os.read(os.open('/proc/kcore', os.O_RDONLY), 16); got('read')"),
        NotRun("this machine's kernel may have none"),
    ),
)
