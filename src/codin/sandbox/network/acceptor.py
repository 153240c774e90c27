"""Takes connections from a listening socket that code inside a sandbox may hold as well."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable

_logger = logging.getLogger("codin.sandbox.network")

_BURST, _PER_SECOND = 128, 200
"""Connections that are taken at once, and from then on: each costs the platform some time."""

_PAUSE_SECONDS = 0.1
_NO_LINGER = struct.pack("ii", 0, 0)
_PASSING = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE}
    | {errno.ENOBUFS, errno.ENOMEM, errno.EPROTO, errno.EPERM}
)


class Slots:
    """How many connections there may be at a time: of one sandbox, and of all of them together."""

    def __init__(self, limit: int, above: Slots | None = None) -> None:
        self._free = threading.Semaphore(limit)
        self._above = above

    def take(self, timeout: float) -> bool:
        """Wait for a slot; false when there was none in time."""
        if not self._free.acquire(timeout=timeout):
            return False
        if self._above is None or self._above.take(timeout):
            return True
        self._free.release()
        return False

    def give_back(self) -> None:
        """A connection has ended."""
        self._free.release()
        if self._above is not None:
            self._above.give_back()


class Acceptor:
    """Gives each connection of ``listener`` to ``attend``, in the running loop, until closed.

    It has a thread of its own. Whether ``accept`` waits is a property of the socket itself, which
    code inside may hold too and change at any moment: the loop would stand still. A connection
    that was accepted is nobody else's. While ``slots`` are taken, callers wait.
    """

    def __init__(
        self, listener: socket.socket, slots: Slots, attend: Callable[[socket.socket], None]
    ) -> None:
        self._listener = listener
        self._slots = slots
        self._attend = attend
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._ended = asyncio.Event()
        self._budget, self._since = float(_BURST), time.monotonic()
        threading.Thread(target=self._run, name="codin-accept", daemon=True).start()

    async def close(self) -> None:
        """Take no more. Returns when the thread has gone and the socket is closed."""
        self._stopped = True
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _PAUSE_SECONDS)

    def _run(self) -> None:
        try:
            if _listens(self._listener):
                self._accept_all()
            else:
                _logger.warning("what came out of a sandbox to listen on is no listening socket")
        finally:
            self._listener.close()
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._ended.set)

    def _accept_all(self) -> None:
        while not self._stopped:
            self._pace()
            if not self._slots.take(_PAUSE_SECONDS):
                continue
            try:
                self._listener.setblocking(True)
                connection, _ = self._listener.accept()
                self._give(connection)
            except OSError as error:
                self._slots.give_back()
                if error.errno not in _PASSING:
                    return
                time.sleep(_PAUSE_SECONDS)

    def _give(self, connection: socket.socket) -> None:
        # Inherited from the listener: closing would wait for a reader that does not read.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        connection.setblocking(False)
        try:
            self._loop.call_soon_threadsafe(self._attend, connection)
        except RuntimeError as error:
            connection.close()
            raise OSError(errno.ESHUTDOWN, "the loop has been closed") from error

    def _pace(self) -> None:
        now = time.monotonic()
        self._budget = min(self._budget + (now - self._since) * _PER_SECOND, _BURST)
        self._since = now
        if self._budget < 1:
            time.sleep((1 - self._budget) / _PER_SECOND)
        self._budget -= 1


def _listens(found: socket.socket) -> bool:
    try:
        kind = found.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        return False
    return kind == socket.SOCK_STREAM and listening == 1
