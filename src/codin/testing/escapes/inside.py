"""The program that runs inside: it executes an attempt's code and says at its end what came of it.

Code uses ``got(what)`` when it is out, ``secret(data)`` with what it has read, ``held(how)``,
``call(name, ...)`` for a system call by name, and ``H`` for what it knows of the host. An
``OSError`` that it lets through is what held it.
"""

from __future__ import annotations

import os

_NUMBERS: dict[str, tuple[int, int]] = {  # x86_64, aarch64: from the kernel's own tables
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chmod": (90, -1),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "creat": (85, -1),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "seccomp": (317, 277),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}


def numbers() -> dict[str, int]:
    """The numbers of the system calls that attempts make, on this machine."""
    column = 1 if os.uname().machine == "aarch64" else 0
    return {name: both[column] for name, both in _NUMBERS.items()}


PROGRAM = r"""
import ctypes, errno, json, os, re, socket, struct, sys, time, traceback
H = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
memory = ctypes.create_string_buffer

class Stop(Exception): pass

def say(line):
    os.write(1, ("\n" + line.replace("\n", " ")[:2000] + "\n").encode(errors="replace"))

def got(what):
    say(f"@got {what!r:.300}")
    os._exit(0)

def held(how): raise Stop(how)

def secret(data):
    "Data that was read: it is out when it holds the secret, whose beginning is known."
    data = data if isinstance(data, bytes) else str(data).encode(errors="replace")
    found = re.search(H["tag"].encode() + b"[0-9a-f]{24}", data)
    if found: got(found.group().decode())

def call(name, *args):
    number = H["numbers"][name] if isinstance(name, str) else name
    if number < 0: held("ENOSYS")
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def each(things, try_):
    "Try each one; what held the last of them holds all."
    last = Stop("nothing")
    for thing in things:
        try: try_(thing)
        except OSError as error: last = error
    raise last

def main():
    try:
        exec(compile(sys.argv[2], "<attempt>", "exec"), globals())
        say("@held nothing")
    except Stop as stop: say(f"@held {stop}")
    except MemoryError: say("@held ENOMEM")
    except OSError as error:
        say(f"@held {errno.errorcode.get(error.errno, type(error).__name__)}")
    except BaseException: say("@broken"); traceback.print_exc()

main()
"""
