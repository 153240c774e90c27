"""Which addresses may be served on."""

from __future__ import annotations

import ipaddress

from codin.gateway.errors import UnsafeAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parsed_address(host: str) -> Address:
    """The address that ``host`` is; ``localhost`` is 127.0.0.1.

    Raises:
        UnsafeAddress: it is none.
    """
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        raise UnsafeAddress(
            f"{host!r} is no IP address: use 127.0.0.1, ::1 or localhost, or the address of a"
            " network card"
        ) from None


def check_guarded(address: Address, *, guarded: bool) -> None:
    """Return when nobody can come in without being asked: ``guarded`` says that all are.

    Raises:
        UnsafeAddress: others reach the address, and nobody is asked.
    """
    if not guarded and not address.is_loopback:
        raise UnsafeAddress(
            f"{address} can be reached from other machines, and nobody would be asked who they are:"
            " turn `auth = true` on under [security] in codin.toml and make keys with `codin auth"
            " key add`, or serve on 127.0.0.1"
        )


def check_encrypted(address: Address, *, secure: bool) -> None:
    """Return when nobody between can read what is sent over gRPC.

    Raises:
        UnsafeAddress: others reach the address, and it would be served without TLS.
    """
    if not secure and not address.is_loopback:
        raise UnsafeAddress(
            f"{address} can be reached from other machines, and without TLS everybody between could"
            " read the tokens that gRPC's callers show: give the server a certificate, or serve"
            " gRPC on 127.0.0.1"
        )


def joined(host: str, port: int) -> str:
    """``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
