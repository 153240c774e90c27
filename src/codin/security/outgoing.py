"""Where the platform may connect to on somebody else's word: the one guard against SSRF."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import typing
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore
import httpx

from codin.errors import InvalidInputError
from codin.security.errors import OutgoingRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]
SocketOptions = typing.Iterable[httpcore.SOCKET_OPTION]

_RESOLVE_SECONDS = 5.0
_ADDRESSES = 32
_PORTS = {"http": 80, "https": 443}

# Written out where versions of Python differ or are silent: protocol assignments and the old 6to4
# relays (RFC 6890), and an address that is global by its registration and yet a cloud's inside.
_INSIDE_V4 = tuple(
    ipaddress.IPv4Network(each) for each in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")
)
# Teredo and other protocols' own, and documentation (RFC 6890, RFC 9637).
_INSIDE_V6 = tuple(
    ipaddress.IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "3fff::/20")
)
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that has been given out: RFC 4291, section 2.4
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052, section 2.1
_6TO4 = ipaddress.IPv6Network("2002::/16")  # RFC 3056, section 2
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214, section 6.1


def is_public(address: Address) -> bool:
    """Whether ``address`` belongs to the open internet, in whichever form it is written.

    No private, loopback, link-local, shared, reserved, multicast or unspecified address, no
    cloud's metadata service, and no IPv6 form that leads to one of these.
    """
    if isinstance(address, ipaddress.IPv6Address):
        return _is_public_v6(address)
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(address in network for network in _INSIDE_V4)


def _is_public_v6(address: ipaddress.IPv6Address) -> bool:
    number = int(address)
    last = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_public(last)
    if address not in _UNICAST or not address.is_global:
        return False
    if address in _6TO4 and not is_public(ipaddress.IPv4Address((number >> 80) & 0xFFFFFFFF)):
        return False
    if (number >> 32) & 0xFFFFFFFF in _ISATAP and not is_public(last):
        return False
    return not any(address in network for network in _INSIDE_V6)


class OutgoingGuard:
    """Lets through what leads to public addresses, and what the operator has allowed.

    ``allow`` has host names (``hooks.internal``), host and port (``localhost:9000``,
    ``[::1]:9000``), addresses and networks (``10.1.0.0/16``). A host that is allowed by name may
    resolve to anything: allow names that you own.

    Raises ``InvalidInputError`` for an entry that is none of these.
    """

    def __init__(self, allow: Iterable[str] = (), *, resolve: Resolver | None = None) -> None:
        self._hosts: set[tuple[str, int | None]] = set()
        self._networks: list[Network] = []
        self._resolve = resolve or _resolved
        for entry in allow:
            self._allow(entry)

    async def check(self, url: str) -> None:
        """Return when the platform may connect to ``url`` now.

        Connect with ``client()`` all the same: by the time one connects, the name may mean another
        address, and only the transport can tell.

        Raises:
            OutgoingRefused: the URL is malformed, not http(s), carries a password, does not
                resolve, or leads to an address that is neither public nor allowed.
        """
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise OutgoingRefused(f"this is no URL: {error}") from None
        self.check_form(parsed)
        host = parsed.raw_host.decode("ascii")
        await self.addresses(host, parsed.port or _PORTS[parsed.scheme])

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of ``host``, all of which one may connect to.

        Raises:
            OutgoingRefused: it does not resolve, or one of its addresses is not allowed.
        """
        name = _plain(host)
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                found = (await self._resolve(name, port))[:_ADDRESSES]
        except (OSError, UnicodeError, TimeoutError):
            found = []
        if not found:
            raise OutgoingRefused(f"the host {name!r} has no address")
        if {(name, None), (name, port)} & self._hosts:
            return found
        for text in found:
            # One bad address is enough: which of them is connected to is chance.
            if not self._allowed(text):
                raise OutgoingRefused(
                    f"the host {name!r} leads to an address that is not public: have the "
                    "operator allow it if it is meant"
                )
        return found

    def transport(self, *, verify: Any = True) -> httpx.AsyncBaseTransport:
        """A transport of httpx that connects only to addresses that were checked just then."""
        return _GuardedTransport(self, verify)

    def client(self, *, timeout: float = 10.0, verify: Any = True) -> httpx.AsyncClient:
        """A client over ``transport``: no proxies or passwords from the environment; redirects
        are not followed unless a call asks for it, and then each is checked as the first was."""
        return httpx.AsyncClient(
            transport=self.transport(verify=verify),
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            max_redirects=5,
        )

    def check_form(self, url: httpx.URL) -> None:
        """The part of ``check`` that needs no resolving. Raises as ``check`` does."""
        if url.scheme not in _PORTS:
            raise OutgoingRefused(f"{url.scheme or 'no'}:// is not connected to: give http(s)://")
        if not url.host:
            raise OutgoingRefused("the URL names no host")
        if url.port is not None and not 0 < url.port < 65_536:
            raise OutgoingRefused(f"there is no port {url.port}")
        if url.userinfo:
            raise OutgoingRefused("the URL carries a password: give credentials apart from it")

    def _allowed(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if is_public(address):
            return True
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)

    def _allow(self, entry: str) -> None:
        text = entry.strip().lower()
        try:
            self._networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
            return
        except ValueError:
            pass
        try:
            url = httpx.URL(f"//{text}")
        except httpx.InvalidURL:
            url = httpx.URL("")
        if not url.host or url.path not in {"", "/"} or url.userinfo or "*" in text:
            raise InvalidInputError(
                f"{entry!r} cannot be allowed: give a host, host:port, an address or a network"
            )
        self._hosts.add((_plain(url.raw_host.decode("ascii")), url.port))


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the very address that was checked: TLS still asks for the name."""

    def __init__(self, guard: OutgoingGuard) -> None:
        self._guard = guard
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._guard.addresses(host, port):
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: SocketOptions | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise OutgoingRefused("sockets of this machine are not connected to")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _GuardedTransport(httpx.AsyncHTTPTransport):
    def __init__(self, guard: OutgoingGuard, verify: Any) -> None:
        super().__init__(trust_env=False)
        self._guard = guard
        # httpx gives no way to hand its pool a backend; httpcore's own is public.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify, trust_env=False),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_GuardedBackend(guard),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # Redirects come through here too. (Userinfo is a header by now.)
        self._guard.check_form(request.url.copy_with(userinfo=b""))
        return await super().handle_async_request(request)


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


async def _resolved(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))
