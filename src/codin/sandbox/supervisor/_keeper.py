"""The keeper of one command: everything that the command leaves behind falls to it, and ends."""

from __future__ import annotations

import os
import select
import socket

from . import messages
from ._command import become
from ._processes import (
    PR_SET_CHILD_SUBREAPER,
    drain,
    ended,
    kill_all_below,
    prctl,
    wake_on_children,
)
from ._sockets import data_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def keep(fds: list[int]) -> NoReturn:
    """Start one command, wait for its end, and leave nothing of it. Does not return."""
    code = 1
    try:
        status = socket.socket(fileno=fds[1])
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake = wake_on_children()
        status.send(messages.HERE)
        job = data_of(fds[0])
        command = os.fork()
        if command == 0:
            become(job, fds, status)
        for fd in (fds[0], *fds[messages.STDIN :]):
            os.close(fd)
        result = _follow(command, status, wake)
        if job["leave"] and result is not None:
            _tell(status, result)
            _follow(None, status, wake)
        kill_all_below(os.getpid())
        for _ in ended(wait=True):
            pass
        if result is not None:
            _tell(status, result)
        code = 0
    except OSError:
        kill_all_below(os.getpid())
    finally:
        os._exit(code)


def _follow(command: int | None, status: socket.socket, wake: int) -> int | None:
    """Until the end of the command: its exit code, or ``None`` when the platform let it go.

    Without a command, until the end of all that one left behind.
    """
    poll = select.poll()
    poll.register(status, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while command is not None or _children():
        ready = {fd for fd, _ in poll.poll()}
        drain(wake)
        for pid, code in ended():
            if pid == command:
                return code
        if status.fileno() in ready:
            said = status.recv(messages.MAX_PACKET)
            if not said:
                return None
            if command is not None and said.startswith(messages.SIGNAL):
                os.kill(command, int(said[len(messages.SIGNAL) :]))
    return None


def _children() -> bool:
    """Whether any process has fallen to this one that has not been waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _tell(status: socket.socket, result: int) -> None:
    status.send(messages.EXIT + f"{result} {_used()}".encode())


def _used() -> str:
    """Processor seconds and peak memory (bytes) of what has ended."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return f"{used.ru_utime + used.ru_stime:.6f} {used.ru_maxrss * 1024}"
