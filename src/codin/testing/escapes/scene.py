"""What a host has that nobody inside may reach: made for the attempts, and taken away again."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from codin.testing.escapes.inside import numbers

TAG = "codin-secret-"
_UNTOUCHED = b"nobody inside has touched this\n"
_VICTIM = """
import os, signal, sys, time
kept = open(sys.argv[1])
signal.signal(signal.SIGUSR1, lambda *_: open(sys.argv[2], "w").close())
print("up", flush=True)
while True:
    time.sleep(60)
"""


class Scene:
    """Files, processes, sockets and shared memory of the host, each with the secret in it."""

    def __init__(self, stack: ExitStack) -> None:
        self.secret = TAG + secrets.token_hex(12)
        self.name = f"codin-escapes-{secrets.token_hex(4)}"
        self.folder = Path(tempfile.mkdtemp(prefix="codin-escapes-"))
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.file = self._file(self.folder / "secret", stack)
        self.home_file = self._file(Path.home() / f".{self.name}", stack)
        self.shm_file = self._file(Path("/dev/shm", self.name), stack)
        self.victim_file = self.folder / "victim"
        self.victim_file.write_bytes(_UNTOUCHED)
        self.seen = 0
        """Datagrams and connections that reached the host."""
        self._listeners: list[socket.socket] = []
        self._process = self._start_victim(stack)
        self._listen(stack)
        self._shared_memory(stack)
        self.terminal, self._terminal_end = os.openpty()
        stack.callback(os.close, self.terminal)
        stack.callback(os.close, self._terminal_end)

    def touched(self) -> str:
        """What somebody inside has done to the host's files, in words; empty when nothing."""
        if not self.victim_file.exists():
            return "a file of the host is gone"
        if self.victim_file.read_bytes() != _UNTOUCHED:
            return "a file of the host was written to"
        kept = {"secret", "victim", "docker.sock", "bus", "X0"}
        new = {path.name for path in self.folder.iterdir()} - kept
        return f"new in a folder of the host: {sorted(new)}" if new else ""

    def mend(self) -> None:
        """Put back what a control has done to the host's files."""
        self.victim_file.write_bytes(_UNTOUCHED)
        self.file.write_text(self.secret)
        for path in self.folder.iterdir():
            if path.name not in {"secret", "victim", "docker.sock", "bus", "X0"}:
                path.rmdir() if path.is_dir() else path.unlink()

    def facts(self) -> dict[str, object]:
        """What the attempts know of the host, all but the secret."""
        return {
            "tag": TAG,
            "numbers": numbers(),
            "folder": str(self.folder),
            "file": str(self.file),
            "name": self.name,
            "home": str(self.home_file),
            "shm": str(self.shm_file),
            "platform": os.getpid(),
            "victim": self._process.pid,
            "hit": str(self.folder / "hit"),
            "abstract": f"\0{self.name}",
            "x11": f"\0/tmp/.X11-unix/{self.name}",
            "tcp": self._port(self._tcp),
            "tcp6": self._port(self._tcp6) if self._tcp6 else 0,
            "udp": self._port(self._udp),
            "addresses": _addresses(),
            "shmkey": self._key,
            "pty": os.ttyname(self._terminal_end),
        }

    @property
    def hit(self) -> bool:
        """Whether a signal from inside has reached the host's process."""
        return (self.folder / "hit").exists()

    def _file(self, path: Path, stack: ExitStack) -> Path:
        path.write_text(self.secret)
        path.chmod(0o600)
        stack.callback(path.unlink, missing_ok=True)
        return path

    def _start_victim(self, stack: ExitStack) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", _VICTIM, str(self.file), str(self.folder / "hit")]
        process = subprocess.Popen(
            [*argv, self.secret],
            cwd=self.folder,
            env={"SECRET": self.secret},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        stack.callback(process.stdout.close)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def _listen(self, stack: ExitStack) -> None:
        unix = [f"\0{self.name}", f"\0/tmp/.X11-unix/{self.name}"]
        unix += [str(self.folder / name) for name in ("docker.sock", "bus", "X0")]
        for address in unix:
            self._serve(socket.AF_UNIX, address, stack)
        self._tcp = self._serve(socket.AF_INET, ("0.0.0.0", 0), stack)
        self._tcp6: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._tcp6 = self._serve(socket.AF_INET6, ("::", 0), stack)
        self._udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._udp.bind(("0.0.0.0", 0))
        self._udp.setblocking(False)

    def _serve(
        self, family: int, address: str | tuple[str, int], stack: ExitStack
    ) -> socket.socket:
        server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(address)
        server.listen(64)
        server.setblocking(False)
        self._listeners.append(server)
        return server

    def attend(self) -> Callable[[], None]:
        """Answer whoever comes with the secret; gives what ends that."""
        loop = asyncio.get_running_loop()
        for server in self._listeners:
            loop.add_reader(server, self._greet, server)
        loop.add_reader(self._udp, self._answer)

        def end() -> None:
            for server in (*self._listeners, self._udp):
                loop.remove_reader(server)

        return end

    def _greet(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            self.seen += 1
            with connection:
                connection.send(self.secret.encode())

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            _, address = self._udp.recvfrom(2048)
            self.seen += 1
            self._udp.sendto(self.secret.encode(), address)

    def _shared_memory(self, stack: ExitStack) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        self._key = secrets.randbelow(1 << 30) + 1
        segment = libc.shmget(self._key, 4096, 0o600 | 0o1000)
        assert segment >= 0
        stack.callback(libc.shmctl, segment, 0, None)
        place = libc.shmat(segment, None, 0)
        ctypes.memmove(place, self.secret.encode(), len(self.secret))
        libc.shmdt(ctypes.c_void_p(place))

    @staticmethod
    def _port(server: socket.socket) -> int:
        return int(server.getsockname()[1])


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """A host with secrets, for the attempts of one run."""
    with ExitStack() as stack:
        made = await asyncio.to_thread(Scene, stack)
        end = made.attend()
        try:
            yield made
        finally:
            end()


def _addresses() -> list[str]:
    """The host's own addresses besides loopback, found without sending anything."""
    found = []
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            found.append(str(probe.getsockname()[0]))
    return found
