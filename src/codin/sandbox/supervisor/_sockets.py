"""Sockets of the network in here, given to the platform, and the data that requests bring."""

from __future__ import annotations

import array
import mmap
import os
import socket

import msgpack

from . import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def give_socket(kind: bytes, fds: list[int]) -> None:
    """A socket of this network namespace: connected to a port, or listening at one."""
    port = data_of(fds[0])["port"]
    with socket.socket(fileno=os.dup(fds[1])) as reply:
        try:
            made = _connected(port) if kind == messages.CONNECT else _listening(port)
        except OSError as error:
            reply.send(messages.REFUSED + str(error.strerror or error).encode())
            return
        with made:
            rights = array.array("i", [made.fileno()])
            reply.sendmsg([messages.OK], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _connected(port: int) -> socket.socket:
    refused: OSError | None = None
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        except OSError:
            continue  # a kernel without that family
        made.setblocking(False)
        try:
            made.connect((host, port))
        except BlockingIOError:
            return made
        except OSError as error:
            made.close()
            refused = refused or error
        else:
            return made
    raise refused or ConnectionRefusedError("connection refused")


def _listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(256)
    return made


def data_of(fd: int) -> dict[str, Any]:
    with mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ) as data:
        found: dict[str, Any] = msgpack.unpackb(
            data[:], strict_map_key=False, unicode_errors="surrogateescape"
        )
    return found
