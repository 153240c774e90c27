"""System calls that code inside has no business with, refused by the kernel.

Namespaces and the lack of capabilities keep code inside already. This takes away what reaches
around them: tracing the init of the process namespace (which could undo that it dies with the
platform), the kernel's key rings and the sockets to a virtual machine's host (which no namespace
divides), set-user-id files (which are the platform's user's own outside, where nothing takes the
bit away), and the calls that kernel bugs are most often found behind.
"""

from __future__ import annotations

import errno
import os
import struct

# Classic BPF as seccomp(2) takes it: operation, jump if true, jump if false, operand.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_NO_FAMILY, _NO_CALL = 0x00050000 | errno.EAFNOSUPPORT, 0x00050000 | errno.ENOSYS
_X32 = 0x40000000

_NEW = {  # the same number everywhere
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}

# Name: (x86_64, aarch64), from the kernel's tables.
_OLD = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
}

_FAMILIES = (1, 2, 10, 16)
"""Sockets that may be made: Unix, IPv4, IPv6, netlink."""

_SET_ID = 0o6000
_CREATES = 0o100 | 0o20000000  # O_CREAT, and what tells O_TMPFILE: else there is no mode

# Calls that set a file's mode: (x86_64, aarch64), the place of the flags if any, and of the mode.
_MODES = {
    "chmod": ((90, None), None, 1),
    "fchmod": ((91, 52), None, 1),
    "fchmodat": ((268, 53), None, 2),
    "fchmodat2": ((452, 452), None, 2),
    "creat": ((85, None), None, 1),
    "open": ((2, None), 1, 2),
    "openat": ((257, 56), 2, 3),
    "mknod": ((133, None), None, 1),
    "mknodat": ((259, 33), None, 2),
}
_SOCKET = (41, 198)
_SHMGET = (29, 194)
_MOST_SEGMENT = 16 * 1024
"""Bytes of a segment of System V shared memory: it stays when nobody has it any more, where only a
control group counts it."""
_OPENAT2 = 437  # its mode lies in memory, where a filter cannot look: programs fall back on openat

_Step = tuple[int, int, int, int]
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


def program(machine: str | None = None, *, only_set_id: bool = False) -> bytes | None:
    """The filter for this machine, or ``None`` where its numbers are not known.

    ``only_set_id`` refuses set-user-id files and nothing else: for a program that keeps code
    inside by means of its own, and makes files for it.
    """
    known = _ARCHITECTURES.get(machine or os.uname().machine)
    if known is None:
        return None
    architecture, column = known
    refused = [] if only_set_id else [*_NEW.values(), *(both[column] for both in _OLD.values())]
    numbers = sorted(refused)
    head = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE),
    ]
    checks = [(_EQUAL, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    tail = [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    asked = [] if only_set_id else _by_argument(column)
    steps = (*head, *asked, *_by_mode(column), *checks, *tail)
    return b"".join(_INSTRUCTION.pack(*step) for step in steps)


_INSTALL = """
import ctypes
_steps = bytes.fromhex({steps!r})
class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))
_program = _Program(len(_steps) // 8, _steps)
if ctypes.CDLL(None).prctl({set_filter}, {mode}, ctypes.byref(_program), 0, 0) != 0:
    raise SystemExit("the filter of system calls could not be set")
"""
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


def installing() -> str:
    """Python code that puts the filter over whoever runs it and all that they start, beside those
    that are there already; nothing where there is none. It takes ``no_new_privs``."""
    steps = program()
    if steps is None:
        return ""
    return _INSTALL.format(steps=steps.hex(), set_filter=_PR_SET_SECCOMP, mode=_MODE_FILTER)


def _by_argument(column: int) -> list[_Step]:
    """Sockets and shared memory that are refused for what is asked of them."""
    known = [(_EQUAL, len(_FAMILIES) - i, 0, family) for i, family in enumerate(_FAMILIES)]
    answer = [(_RETURN, 0, 0, _NO_FAMILY), (_RETURN, 0, 0, _ALLOW)]
    steps = _when(_SOCKET[column], [_argument(0), *known, *answer])
    return steps + _when(_SHMGET[column], _at_most(1, _MOST_SEGMENT))


def _by_mode(column: int) -> list[_Step]:
    """Files that are refused for their mode."""
    steps = _when(_OPENAT2, [(_RETURN, 0, 0, _NO_CALL)])
    for numbers, flags, mode in _MODES.values():
        number = numbers[column]
        if number is not None:
            steps += _when(number, [*_creating(flags), *_without_set_id(mode)])
    return steps


def _when(number: int, steps: list[_Step]) -> list[_Step]:
    return [(_EQUAL, 0, len(steps), number), *steps]


def _creating(flags: int | None) -> list[_Step]:
    if flags is None:
        return []
    return [_argument(flags), (_ANY_OF, 1, 0, _CREATES), (_RETURN, 0, 0, _ALLOW)]


def _without_set_id(mode: int) -> list[_Step]:
    refuse, allow = (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)
    return [_argument(mode), (_ANY_OF, 0, 1, _SET_ID), refuse, allow]


def _at_most(place: int, most: int) -> list[_Step]:
    upper = (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * place + 4)
    refuse, allow = (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)
    return [upper, (_EQUAL, 0, 2, 0), _argument(place), (_AT_LEAST, 0, 1, most + 1), refuse, allow]


def _argument(place: int) -> _Step:
    """The lower half of an argument: both machines have it first, and these are 32 bits wide."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * place)
