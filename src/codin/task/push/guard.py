"""Which addresses notifications may be sent to, when nobody says otherwise."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

from codin.task.push.errors import UrlRefused


class PublicUrlGuard:
    """Lets through http and https to hosts all of whose addresses are public unicast."""

    async def check(self, url: str) -> None:
        """Return when ``url`` may be fetched.

        Raises:
            UrlRefused: it may not, or its host cannot be resolved.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UrlRefused(f"the url cannot be read: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise UrlRefused("the url is not one of http or https with a host")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UrlRefused(f"the host {host!r} cannot be resolved") from error
        if not found or not all(_public(str(entry[4][0])) for entry in found):
            raise UrlRefused(f"the host {host!r} has no public address: nothing is sent there")


def _public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _public(str(inner))
        if address.teredo is not None:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
