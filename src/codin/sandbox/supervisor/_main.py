"""The program inside: starts commands and Workers for the platform, and ends them whole.

It is the init of its process namespace where it can be, so that nothing inside can signal it, and
closed to tracing. Each command has a *keeper*, a fork of this program that every process which
the command leaves behind falls to; the keeper kills them all at the end. Whoever kills a keeper
leaves its processes to this program, which kills what it did not start itself.
It is loaded by path, and needs the standard library and msgpack only.
"""

from __future__ import annotations

import array
import gc
import importlib
import os
import select
import signal
import socket

from . import messages
from ._keeper import keep
from ._processes import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    drain,
    ended,
    kill_all_below,
    parents,
    prctl,
    set_signals,
    wake_on_children,
)
from ._sockets import give_socket

_STRAY_SECONDS = 0.2


def main(control: socket.socket) -> None:
    """Serve the platform at the other end of ``control`` until it goes."""
    _protect()
    set_signals(signal.SIG_IGN)
    Supervisor(control).serve()


class Supervisor:
    """Takes requests, one packet each, and buries what has ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._keepers: set[int] = set()
        self._strays = False
        self._loaded = False

    def serve(self) -> None:
        """Until the platform closes the connection; then everything inside is killed."""
        wake = wake_on_children()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        self._control.send(messages.VERSION)
        while True:
            ready = poll.poll(self._patience())
            if not (ready or self._loaded):
                self._load()
            self._bury(wake)
            if any(fd == self._control.fileno() for fd, _ in ready) and not self._take():
                break
        kill_all_below(os.getpid())

    def _patience(self) -> float | None:
        """Milliseconds to wait for a request; without a limit when nothing else is to do."""
        if not self._loaded:
            return 0
        return _STRAY_SECONDS * 1000 if self._strays else None

    def _load(self) -> None:
        """What Workers need, so that a fork has it already; when nobody is waiting for it."""
        for name in ("_codin_worker._main", "_codin_worker._python"):
            importlib.import_module(name)
        gc.freeze()
        self._loaded = True

    def _take(self) -> bool:
        """One request; false when there is nobody to ask any more."""
        data, fds = _receive(self._control)
        if not data:
            return False
        try:
            if data == messages.START:
                self._start(fds)
            elif data in (messages.CONNECT, messages.LISTEN):
                give_socket(data, fds)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _start(self, fds: list[int]) -> None:
        try:
            keeper = os.fork()
        except OSError as error:
            status = socket.socket(fileno=os.dup(fds[1]))
            with status:
                status.send(messages.NOTE + b"fork " + str(error).encode())
            return
        if keeper == 0:
            self._control.close()
            keep(fds)
        self._keepers.add(keeper)

    def _bury(self, wake: int) -> None:
        drain(wake)
        for pid, code in ended(frozenset(self._keepers)):
            if pid in self._keepers:
                self._keepers.discard(pid)
                self._strays = self._strays or code != 0
        if self._strays:
            here = os.getpid()
            left = [pid for pid, parent in parents().items() if parent == here]
            strays = [pid for pid in left if pid not in self._keepers]
            for stray in strays:
                kill_all_below(stray, itself=True)
            self._strays = bool(strays)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    rights = array.array("i")
    space = socket.CMSG_SPACE(messages.MAX_FDS * rights.itemsize)
    data, beside, _, _ = control.recvmsg(messages.MAX_PACKET, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, value in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            rights.frombytes(value[: len(value) - len(value) % rights.itemsize])
    return data, list(rights)


def _protect() -> None:
    """Nobody inside may trace this program or read its memory and descriptors."""
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getpid() != 1:
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
