"""Where an allowed name leads, and whether anybody may go there."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from codin.errors import CodinError
from codin.security.targets import METADATA, Address, Target, is_private, private_target

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a name, as text. ``OSError`` when it has none."""

_RESOLVE_SECONDS = 5.0
_MOST_ADDRESSES = 32
_LOOKUPS = 8
"""Lookups at a time. They have threads of their own: a slow server of names keeps one busy for
long after the time-out, and the platform's other work must not wait for it."""


class NoAddress(CodinError):
    """A name that does not resolve."""


class ForbiddenAddress(CodinError):
    """A target that leads to an address which nobody may connect to."""


class Destinations:
    """Resolves names and judges each address that they have.

    Only public addresses are connected to. ``private`` are the operator's exceptions, exact
    ``host:port``: an address may be connected to on that port, whatever name led there; a name may
    lead to private networks on that port, and ``localhost`` to loopback. Link-local addresses,
    services of metadata, multicast and what is reserved are never connected to.

    Raises ``InvalidInputError`` for an entry that is no ``host:port``, or an address of another
    kind.
    """

    def __init__(self, private: Iterable[str] = (), *, resolve: Resolve | None = None) -> None:
        self._private = frozenset(private_target(entry) for entry in private)
        self._resolve = resolve or self._look_up
        self._threads: ThreadPoolExecutor | None = None
        self._free = asyncio.Semaphore(_LOOKUPS)

    async def addresses(self, target: Target) -> list[Address]:
        """The addresses of ``target``, all of which one may connect to; connect to no other.

        Raises:
            NoAddress: it has none.
            ForbiddenAddress: one of them is neither public nor allowed by the operator.
        """
        literal = target.address
        found = [literal] if literal is not None else await self._named(target)
        for address in found:
            # One bad address is enough: which of them is connected to is chance.
            if not self._allowed(address, target):
                raise ForbiddenAddress(
                    f"{target} leads to an address that is not public; only the operator can allow "
                    "a private network"
                )
        return found

    def close(self) -> None:
        """Give the threads back."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    async def _named(self, target: Target) -> list[Address]:
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS), self._free:
                texts = await self._resolve(target.host, target.port)
            found = [ipaddress.ip_address(text) for text in texts[:_MOST_ADDRESSES]]
        except (OSError, ValueError, TimeoutError):
            found = []
        if not found:
            raise NoAddress(f"the name {target.host} has no address")
        return found

    def _allowed(self, address: Address, target: Target) -> bool:
        from codin.security.outgoing import is_public

        if is_public(address) or Target(str(address), target.port) in self._private:
            return address not in METADATA
        if target not in self._private:
            return False
        return address.is_loopback if target.host == "localhost" else is_private(address)

    async def _look_up(self, name: str, port: int) -> list[str]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="codin-names")
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._threads, _answers, name, port)
        return list(dict.fromkeys(rows))


def _answers(name: str, port: int) -> list[str]:
    rows = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]
