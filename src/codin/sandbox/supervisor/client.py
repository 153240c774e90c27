"""The platform's end of a supervisor: asks it for commands, Workers and sockets."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import stat
from collections.abc import Sequence
from typing import Any

import msgpack

from codin.sandbox.errors import SandboxGone, SandboxUnavailable
from codin.sandbox.supervisor import messages

_READY_SECONDS = 30.0
_ANSWER_SECONDS = 5.0


class Supervisor:
    """One connection to the program inside. What it says is believed no more than any code inside.

    ``gone`` is set when the connection has ended: with it, everything inside.
    """

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self.gone = asyncio.Event()

    async def greet(self) -> None:
        """Wait until it is ready.

        Raises:
            SandboxUnavailable: it did not become so, or speaks another version.
        """
        try:
            async with asyncio.timeout(_READY_SECONDS):
                said = await self._loop.sock_recv(self._control, messages.MAX_PACKET)
        except (TimeoutError, OSError):
            said = b""
        if said != messages.VERSION:
            self.close()
            raise SandboxUnavailable(
                "the program inside did not start" + (f"; it said {said[:100]!r}" if said else "")
            )
        self._loop.add_reader(self._control, self._heard)

    async def request(self, kind: bytes, data: dict[str, Any], fds: Sequence[int]) -> None:
        """Send one request; the descriptors stay open here.

        Raises:
            SandboxGone: there is nobody to ask.
        """
        file = os.memfd_create("codin", os.MFD_CLOEXEC)
        try:
            packed = memoryview(msgpack.packb(data, unicode_errors="surrogateescape"))
            while packed:
                packed = packed[os.write(file, packed) :]
            rights = array.array("i", [file, *fds])
            async with self._turn:
                await self._send(kind, rights)
        finally:
            os.close(file)

    async def connect(self, port: int) -> socket.socket:
        """A socket that is being connected to a port of the place's own loopback.

        Raises:
            ConnectionRefusedError: nothing listens there.
            SandboxGone
        """
        return await self._socket(messages.CONNECT, port)

    async def listen(self, port: int) -> socket.socket:
        """A socket that listens at a port of the place's own loopback.

        Raises:
            OSError: the port is taken.
            SandboxGone
        """
        return await self._socket(messages.LISTEN, port)

    def close(self) -> None:
        """Let it go: everything inside is killed. Safe to call twice."""
        if not self.gone.is_set():
            self.gone.set()
            self._loop.remove_reader(self._control)
            self._control.close()

    async def _send(self, kind: bytes, rights: array.array[int]) -> None:
        while not self.gone.is_set():
            try:
                self._control.sendmsg([kind], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            except BlockingIOError:
                await self._writable()
            except OSError:
                self.close()
            else:
                return
        raise SandboxGone("the sandbox has ended: its supervisor does not answer")

    async def _writable(self) -> None:
        free = asyncio.Event()
        self._loop.add_writer(self._control, free.set)
        try:
            await free.wait()
        finally:
            self._loop.remove_writer(self._control)

    async def _socket(self, kind: bytes, port: int) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here:
            here.setblocking(False)
            with there:
                await self.request(kind, {"port": port}, [there.fileno()])
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    return await self._received(here, port)
            except TimeoutError:
                raise SandboxGone("the sandbox's supervisor does not answer") from None

    async def _received(self, here: socket.socket, port: int) -> socket.socket:
        readable = asyncio.Event()
        self._loop.add_reader(here, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(here)
        data, fds = _with_descriptor(here)
        if data == messages.OK and len(fds) == 1 and stat.S_ISSOCK(os.fstat(fds[0]).st_mode):
            return socket.socket(fileno=fds[0])
        for fd in fds:
            os.close(fd)
        why = data.removeprefix(messages.REFUSED)[:200].decode(errors="replace")
        raise ConnectionRefusedError(f"port {port} inside: {why or 'no answer'}")

    def _heard(self) -> None:
        """It says nothing more: what can be read is its end."""
        try:
            said = self._control.recv(messages.MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self.close()


def _with_descriptor(link: socket.socket) -> tuple[bytes, list[int]]:
    """What was said, and the one descriptor beside it.

    Not ``socket.recv_fds``, which forgets the flags: what comes would go on to every child.
    """
    found = array.array("i")
    space = socket.CMSG_LEN(found.itemsize)
    data, beside, _, _ = link.recvmsg(messages.MAX_PACKET, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, value in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(value[: found.itemsize])
    return data, list(found)
