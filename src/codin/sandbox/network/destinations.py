"""Where an allowed name leads, and whether anybody may go there."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from codin.errors import CodinError, InvalidInputError
from codin.sandbox.network.rules import Target, parse_target

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a name, as text. ``OSError`` when it has none."""

_RESOLVE_SECONDS = 5.0
_MOST_ADDRESSES = 32
_LOOKUPS = 4
"""Lookups at a time. They have threads of their own: a slow server of names keeps one busy for
long after the time-out, and the platform's other work must not wait for it."""

# What an operator can mean by a private network: RFC 1918, RFC 6598, RFC 4193.
_PRIVATE_V4 = tuple(
    ipaddress.IPv4Network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
_PRIVATE_V6 = ipaddress.IPv6Network("fc00::/7")
# Services that hand out a machine's credentials, inside these networks.
_METADATA = frozenset(
    ipaddress.ip_address(each)
    for each in ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)


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
        self._private = frozenset(_private_target(entry) for entry in private)
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
            return address not in _METADATA
        if target not in self._private:
            return False
        return address.is_loopback if target.host == "localhost" else _is_private(address)

    async def _look_up(self, name: str, port: int) -> list[str]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="codin-names")
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._threads, _answers, name, port)
        return list(dict.fromkeys(rows))


def _answers(name: str, port: int) -> list[str]:
    rows = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]


def _private_target(entry: str) -> Target:
    target = parse_target(entry)
    address = target.address
    if address is not None and not (address.is_loopback or _is_private(address)):
        raise InvalidInputError(f"{entry} is in no private network, and cannot be allowed as one")
    return target


def _is_private(address: Address) -> bool:
    if address in _METADATA:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _PRIVATE_V6
    return any(address in network for network in _PRIVATE_V4)
