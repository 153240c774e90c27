"""The proxy that is a sandbox's only route: it lets through what its allow-list allows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import h11

from codin.sandbox.network.acceptor import Acceptor, Slots
from codin.sandbox.network.destinations import (
    Destinations,
    ForbiddenAddress,
    NoAddress,
    Resolve,
)
from codin.sandbox.network.forward import forward
from codin.sandbox.network.refusal import Refusal, Refusals
from codin.sandbox.network.relay import CHUNK, Wire, relay, while_moving
from codin.sandbox.network.request import Asked, Inside, Refused, asked_of
from codin.security.targets import Address, AllowList, Target

_logger = logging.getLogger("codin.sandbox.network")

Attend = Callable[[socket.socket], Coroutine[Any, Any, None]]

_LINGER_SECONDS = 1.0
_LINGER_BYTES = 16 * CHUNK
_LOOKUPS = 2
"""Names of one sandbox that are looked up at a time, of those that all of them share."""

_MOST = 4096
"""Connections of all sandboxes together, where this process may have files enough."""


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """What one sandbox may take of its proxy: connections at a time, and seconds for the head of
    a request, for a connection to come about, and without a byte either way."""

    connections: int = 64
    head_seconds: float = 10.0
    connect_seconds: float = 10.0
    idle_seconds: float = 300.0


class ProxyRoom:
    """What the proxies of a provider share: where names lead, and how many connections there are.

    ``private`` are the operator's exceptions from "public addresses only": see ``Destinations``.
    """

    def __init__(
        self,
        private: Iterable[str] = (),
        *,
        resolve: Resolve | None = None,
        limits: ProxyLimits | None = None,
    ) -> None:
        self.destinations = Destinations(private, resolve=resolve)
        self.limits = limits or ProxyLimits()
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Each takes two files; a quarter of all leaves the platform its own.
        self._slots = Slots(min(_MOST, max(files // 8, 8)) if files > 0 else _MOST)

    def proxy(self, allowed: Iterable[str], owner: str) -> NetworkProxy:
        """The proxy of one sandbox, which is called ``owner`` in the log.

        Raises:
            InvalidInputError: an entry of ``allowed`` cannot be read.
        """
        slots = Slots(self.limits.connections, self._slots)
        return NetworkProxy(AllowList(allowed), self.destinations, slots, owner, self.limits)

    def close(self) -> None:
        """Give back what it holds. The proxies are closed by their sandboxes."""
        self.destinations.close()


class NetworkProxy:
    """The proxy of one sandbox. It answers on each listening socket that it is given."""

    def __init__(
        self,
        allowed: AllowList,
        destinations: Destinations,
        slots: Slots,
        owner: str,
        limits: ProxyLimits,
    ) -> None:
        self.allowed = allowed
        self._destinations = destinations
        self._slots = slots
        self._limits = limits
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        self._refusals = Refusals(owner)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What was refused, oldest first, each once."""
        return self._refusals.kept

    def serve(self, listener: socket.socket) -> Serving:
        """Answer on ``listener`` until the result is closed, which closes ``listener`` too.

        Whoever made the socket need not be trusted, and may hold it as well.
        """
        return Serving(listener, self._slots, self._attend)

    async def _attend(self, connection: socket.socket) -> None:
        """Carry out the one request of a connection."""
        inside = Inside(Wire(connection))
        method = b""
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                request = await inside.request()
            if request is not None:
                method = request.method
                await self._carry_out(inside, request)
        except Refused as refused:
            await _tell(inside, refused, method)
        except TimeoutError:
            late = Refused(408, "no request came in time")
            await _tell(inside, late, method)
        except (OSError, h11.ProtocolError):
            inside.wire.break_off()
        finally:
            inside.wire.close()

    async def _carry_out(self, inside: Inside, request: h11.Request) -> None:
        asked = self._allowed(request)
        outside = Wire(await self._connect(asked.target))
        try:
            async with while_moving(self._limits.idle_seconds, inside.wire, outside):
                if asked.path is not None:
                    await forward(inside, outside, request, asked)
                else:
                    await _tunnel(inside, outside)
        except TimeoutError:
            inside.wire.break_off()
        except OSError:
            outside.break_off()
            raise
        finally:
            outside.close()

    def _allowed(self, request: h11.Request) -> Asked:
        try:
            asked = asked_of(request)
        except Refused as refused:
            self._refusals.add(refused.target, refused.reason)
            raise
        if not self.allowed.allows(asked.target):
            raise self._refused(
                asked.target,
                f"{asked.target} is not in the network of this sandbox; the line that allows it, "
                "for an agent under its [[agents]] in codin.toml: "
                + self.allowed.line_for(asked.target),
            )
        return asked

    def _refused(self, target: Target, reason: str) -> Refused:
        self._refusals.add(str(target), reason)
        return Refused(403, reason, str(target))

    async def _connect(self, target: Target) -> socket.socket:
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                async with self._lookups:
                    addresses = await self._destinations.addresses(target)
                return await _first(addresses, target.port)
        except ForbiddenAddress as error:
            raise self._refused(target, str(error)) from None
        except NoAddress as error:
            raise Refused(502, str(error)) from None
        except TimeoutError:
            raise Refused(504, f"{target} took no connection in time") from None
        except OSError as error:
            raise Refused(502, f"{target} took no connection: {error.strerror}") from None


class Serving:
    """A listening socket that is answered on."""

    def __init__(self, listener: socket.socket, slots: Slots, attend: Attend) -> None:
        self._slots = slots
        self._attend = attend
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._acceptor = Acceptor(listener, slots, self._begin)

    async def close(self) -> None:
        """End it with all of its connections. Safe to call twice."""
        self._closed = True
        await self._acceptor.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, connection: socket.socket) -> None:
        if self._closed:
            connection.close()
            self._slots.give_back()
            return
        task = asyncio.create_task(self._attend(connection))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.give_back()
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("a connection of a sandbox failed", exc_info=error)


async def _tunnel(inside: Inside, outside: Wire) -> None:
    """What CONNECT asks for: bytes both ways, untouched."""
    # No header at all: RFC 9110, section 9.3.6, has an answer to CONNECT without a length.
    await inside.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
    early, ended = inside.http.trailing_data
    if early:
        await outside.send(early)
    if ended:
        outside.end()
    await relay(inside.wire, outside)


async def _first(addresses: list[Address], port: int) -> socket.socket:
    """A connection to the first of ``addresses`` that takes one. Raises ``OSError``."""
    failure = OSError("no address")
    for address in addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (str(address), port))
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


async def _tell(inside: Inside, refused: Refused, method: bytes) -> None:
    """Answer, and wait a moment for the reader: to close on what it still sends would take the
    answer away from it."""
    with contextlib.suppress(OSError, h11.ProtocolError, TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            await inside.refuse(refused, method)
            for _ in range(_LINGER_BYTES // CHUNK):
                if not await inside.wire.receive():
                    return
