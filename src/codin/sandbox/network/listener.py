"""The listening socket inside a sandbox, made there and held by the platform."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import sys

PROXY_PORT = 3128
"""Where the proxy is, on the loopback of a sandbox."""

_LOCAL = "localhost,127.0.0.1,::1"

# A process of the sandbox's network makes the socket, passes it out, and becomes the command.
# Without the module ``socket``, whose import takes as long as the rest.
_FRONT = """
import os, sys, _socket as s
link = s.socket(fileno=int(sys.argv[1]))
door = s.socket(s.AF_INET, s.SOCK_STREAM)
door.bind(("127.0.0.1", int(sys.argv[2])))
door.listen(128)
link.sendmsg([b"."], [(s.SOL_SOCKET, s.SCM_RIGHTS, door.fileno().to_bytes(4, sys.byteorder))])
link.close()
door.close()
os.execv(sys.argv[3], sys.argv[3:])
"""


def front(link: int) -> list[str]:
    """What stands before a command, given by an absolute path, that has ``link`` inherited."""
    return [sys.executable, "-I", "-S", "-c", _FRONT, str(link), str(PROXY_PORT)]


def proxy_environment() -> dict[str, str]:
    """The variables by which programs inside find the proxy, in both of their spellings."""
    url = f"http://127.0.0.1:{PROXY_PORT}"
    names = {"http_proxy": url, "https_proxy": url, "all_proxy": url, "no_proxy": _LOCAL}
    return names | {name.upper(): value for name, value in names.items()}


async def taken(link: socket.socket) -> socket.socket | None:
    """The socket that is passed over ``link``; nothing when none will come.

    It is what code inside says is a listening socket: hand it to ``NetworkProxy.serve``, which
    looks.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    link.setblocking(False)
    loop.add_reader(link, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(link)
    found = array.array("i")
    with contextlib.suppress(OSError):
        # Not socket.recv_fds, which forgets the flags: what comes would go on to every child.
        _, beside, _, _ = link.recvmsg(1, socket.CMSG_LEN(found.itemsize), socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(data[: found.itemsize])
    return _as_socket(found[0]) if found else None


def _as_socket(descriptor: int) -> socket.socket | None:
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
