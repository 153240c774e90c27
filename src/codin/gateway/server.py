"""Serving applications: on a loopback port, on a Unix socket, and how that ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp

from codin.gateway._joined import JoinedProtocol
from codin.gateway.address import check_guarded, joined, parsed_address
from codin.gateway.draining import DrainingApp
from codin.gateway.errors import AddressInUse, GatewayError
from codin.signals import on_signals

GRACE_SECONDS = 1
"""What requests under way get to end by themselves; streams are ended at once."""


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: whoever runs several servers decides what they mean."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class AppServer(ABC):
    """One application on one address, from ``start`` to ``stop``. An async context manager."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = DrainingApp(app)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @abstractmethod
    def bind(self) -> socket.socket:
        """A listening socket.

        Raises:
            AddressInUse, UnsafeAddress, GatewayError
        """

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is reached, once started."""

    def tls(self) -> dict[str, Any]:
        """What uvicorn has to know to serve HTTPS; nothing where HTTP is served."""
        return {}

    async def start(self) -> None:
        """Return once requests are answered.

        Raises:
            AddressInUse, UnsafeAddress, GatewayError
        """
        listener = self.bind()
        try:
            await self._serve(listener)
        except BaseException:
            listener.close()
            raise

    async def _serve(self, listener: socket.socket) -> None:
        config = uvicorn.Config(
            self._app,
            http=JoinedProtocol,
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            **self.tls(),
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise GatewayError("the server ended before it had started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """End open streams, let requests end within the grace, close. Safe to call twice."""
        if self._server is None or self._serving is None:
            return
        self._app.drain()
        self._server.should_exit = True
        serving, self._serving = self._serving, None
        await serving

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class HttpServer(AppServer):
    """An application on a port; port 0 takes a free one.

    ``guarded`` says that the application asks every caller who they are: only then addresses are
    served that other machines reach. ``certificate`` is a PEM file with the chain, and one with its
    key, for HTTPS.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int = 8420,
        guarded: bool = False,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(app)
        self._host = host
        self._port = port
        self._guarded = guarded
        self._certificate = certificate

    @property
    def url(self) -> str:
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://{joined(self._host, self._port)}"

    def tls(self) -> dict[str, Any]:
        if self._certificate is None:
            return {}
        chain, key = self._certificate
        return {"ssl_certfile": str(chain), "ssl_keyfile": str(key)}

    def bind(self) -> socket.socket:
        address = parsed_address(self._host)
        check_guarded(address, guarded=self._guarded)
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        # asyncio sends at once only where it is told that this is TCP: the second part of an answer
        # would wait for the client to acknowledge the first, some 40 ms
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((str(address), self._port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            raise _bind_error(error, self._host, self._port) from error
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        return listener


class UnixServer(AppServer):
    """An application on a Unix socket that only this user can open (mode 0600 by default)."""

    def __init__(self, app: ASGIApp, path: Path, *, mode: int = 0o600) -> None:
        super().__init__(app)
        self._path = path
        self._mode = mode

    @property
    def url(self) -> str:
        return f"unix:{self._path}"

    def bind(self) -> socket.socket:
        _remove_stale(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            before = os.umask(0o177)
            try:
                listener.bind(str(self._path))
            finally:
                os.umask(before)
            self._path.chmod(self._mode)
            listener.listen(2048)
        except OSError as error:
            listener.close()
            raise GatewayError(
                f"cannot listen on the socket {self._path}: {error.strerror or error}"
            ) from error
        listener.setblocking(False)
        return listener

    async def stop(self) -> None:
        await super().stop()
        self._path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def stop_signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, instead of what they do otherwise."""
    asked = asyncio.Event()
    with on_signals(asked.set):
        yield asked


async def run_until_signal(*servers: AbstractAsyncContextManager[object]) -> None:
    """Serve until SIGINT or SIGTERM, then stop all of them, the first given first."""
    async with stop_signals() as asked, contextlib.AsyncExitStack() as stack:
        for server in reversed(servers):
            await stack.enter_async_context(server)
        await asked.wait()


def _bind_error(error: OSError, host: str, port: int) -> GatewayError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"port {port} on {host} is taken by another program: stop that one, or choose another "
            "port with --port (0 takes a free one)"
        )
    if error.errno == errno.EACCES:
        return GatewayError(f"port {port} needs more rights: choose one above 1023 with --port")
    return GatewayError(f"cannot listen on {host}:{port}: {error.strerror or error}")


def _remove_stale(path: Path) -> None:
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise GatewayError(f"{path} is there already and is no socket: move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise AddressInUse(f"another program listens on the socket {path}: stop that one first")
