"""What the kernel says of processes, and what it is asked to do with them."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
prctl = ctypes.CDLL(None, use_errno=True).prctl
"""``prctl(2)``, which Python has no name for."""

_UNTOUCHABLE = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}


def kill_all_below(pid: int, *, itself: bool = False) -> None:
    """Kill everything that ``pid`` started: stopped first, so that none of it can start more."""
    stopped: set[int] = set()
    while found := _below(pid, itself=itself) - stopped:
        for one in found:
            send_signal(one, signal.SIGSTOP)
        stopped |= found
    for one in stopped:
        send_signal(one, signal.SIGKILL)


def _below(pid: int, *, itself: bool) -> set[int]:
    children: dict[int, list[int]] = {}
    for child, parent in parents().items():
        children.setdefault(parent, []).append(child)
    found: set[int] = {pid} if itself else set()
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def parents() -> dict[int, int]:
    """Each living process that can be seen, and its parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state not in (b"Z", b"X"):
                found[int(name)] = int(parent)
    return found


def ended(keepers: frozenset[int] = frozenset(), *, wait: bool = False) -> list[tuple[int, int]]:
    """Children that have ended, with their exit codes (negative: the signal).

    A keeper that code inside has stopped goes on: it has to see the end of its command.
    """
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, 0 if wait else os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if not os.WIFSTOPPED(status):
            found.append((pid, os.waitstatus_to_exitcode(status)))
        elif pid in keepers:
            send_signal(pid, signal.SIGCONT)


def set_signals(action: signal.Handlers) -> None:
    """For every signal that is not the kernel's own: what code inside sends shall not end this."""
    for number in signal.valid_signals() - _UNTOUCHABLE:
        signal.signal(number, action)


def send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wake_on_children() -> int:
    """A descriptor that can be read when a child has ended."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def drain(wake: int) -> None:
    try:
        while os.read(wake, 4096):
            pass
    except BlockingIOError:
        return
