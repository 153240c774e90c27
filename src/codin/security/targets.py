"""What an allow-list allows: hosts and ports, compared in one form only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from codin.errors import InvalidInputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_ENTRIES = 256
"""Entries of one allow-list."""

# Brackets, and nothing but brackets, tell an IPv6 address from a port (RFC 3986, section 3.2.2).
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f]*:[0-9A-Fa-f:.]{1,44})\]|(?P<name>[^][:/@?#%\s]+)):(?P<port>[0-9]{1,5})"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NAME_LENGTH = 253  # RFC 1035, section 2.3.4, as text
_WILDCARD = "*."

# Forms of IPv6 that stand for an IPv4 address: RFC 4291, sections 2.5.5.1 and 2.5.5.2; RFC 6052;
# RFC 8215; RFC 3056.
_STANDS_FOR_V4 = tuple(
    ipaddress.IPv6Network(each)
    for each in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
)

# What an operator can mean by a private network: RFC 1918, RFC 6598, RFC 4193.
_PRIVATE_V4 = tuple(
    ipaddress.IPv4Network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
_PRIVATE_V6 = ipaddress.IPv6Network("fc00::/7")
# Services that hand out a machine's credentials, inside these networks.
METADATA = frozenset(
    ipaddress.ip_address(each)
    for each in ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A host and a port in the form in which they are compared.

    The host is a name in lower case, without a final dot, in ASCII (IDNA 2008, UTS 46), or an
    address as ``ipaddress`` writes it.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def address(self) -> Address | None:
        """The host, where it is an address and no name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse_target(text: str) -> Target:
    """``host:port`` or ``[address]:port`` as a target.

    Raises:
        InvalidInputError: it is neither, the name is no name of a host, or the address is in a
            form that stands for another one.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise InvalidInputError(f"{_shown(text)} is not host:port")
    return target_of(found["six"] or found["name"], int(found["port"]))


def target_of(host: str, port: int) -> Target:
    """A host, without brackets, and a port as a target. Raises as ``parse_target`` does."""
    if not 0 < port < 65_536:
        raise InvalidInputError(f"there is no port {port}")
    return Target(_address(host) if ":" in host else _name(host), port)


def private_target(entry: str) -> Target:
    """An exact ``host:port`` that the operator allows although it is not public.

    Raises:
        InvalidInputError: it is none, or an address of no private network.
    """
    target = parse_target(entry)
    address = target.address
    if address is not None and not (address.is_loopback or is_private(address)):
        raise InvalidInputError(f"{target} is in no private network, and cannot be allowed as one")
    return target


def is_private(address: Address) -> bool:
    """Whether it is in a private network, and no service of metadata there."""
    if address in METADATA:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _PRIVATE_V6
    return any(address in network for network in _PRIVATE_V4)


class AllowList:
    """The targets that a sandbox may connect to.

    An entry is ``host:port``, ``[address]:port``, or ``*.example.org:port`` for every name below
    ``example.org``, however many labels to the left, but not for that name itself. A wildcard
    stands for whole labels at the left end, before at least two others. There are none for ports.

    Raises ``InvalidInputError`` for an entry that is none of these, or more than ``MAX_ENTRIES``.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._exact: set[Target] = set()
        self._below: set[Target] = set()
        for entry in entries:
            self._add(entry)
        if len(self._exact) + len(self._below) > MAX_ENTRIES:
            raise InvalidInputError(f"a network has no more than {MAX_ENTRIES} entries")

    @property
    def entries(self) -> tuple[str, ...]:
        """The entries, in the form in which they are compared."""
        below = (f"{_WILDCARD}{target}" for target in self._below)
        return tuple(sorted([*map(str, self._exact), *below]))

    def allows(self, target: Target) -> bool:
        """Whether an entry is for ``target``. Says nothing of where its name leads."""
        if target in self._exact:
            return True
        if target.address is not None:
            return False
        labels = target.host.split(".")
        above = (".".join(labels[i:]) for i in range(1, len(labels)))
        return any(Target(name, target.port) in self._below for name in above)

    def line_for(self, target: Target) -> str:
        """The setting that allows ``target`` besides what is allowed."""
        texts = ", ".join(f'"{entry}"' for entry in (*self.entries, str(target)))
        return f"network = [{texts}]"

    def _add(self, entry: str) -> None:
        try:
            if entry.startswith(_WILDCARD):
                target = parse_target(entry.removeprefix(_WILDCARD))
                if target.address is not None or "." not in target.host:
                    raise InvalidInputError("a wildcard stands before at least two labels")
                self._below.add(target)
            else:
                self._exact.add(parse_target(entry))
        except InvalidInputError as error:
            raise InvalidInputError(
                f"the network allows host:port, not {_shown(entry)}: {error}"
            ) from None


def _address(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise InvalidInputError(f"{_shown(text)} is no address") from None
    if not address.is_loopback and any(address in network for network in _STANDS_FOR_V4):
        raise InvalidInputError(f"{address} stands for an IPv4 address: give that one")
    return str(address)


def _name(text: str) -> str:
    name = _ascii(text.removesuffix(".")).lower()
    labels = name.split(".")
    # Whatever ends in a number is read as an IPv4 address by somebody, in octal or with parts
    # missing; only the plain form is one here.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise InvalidInputError(f"{_shown(text)} is no address") from None
    if len(name) > _NAME_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInputError(f"{_shown(text)} is no name of a host")
    return name


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise InvalidInputError(f"{_shown(name)} is no name of a host") from None


def _shown(text: str) -> str:
    """What somebody wrote, fit for a line of a log."""
    return ascii(text if len(text) <= 100 else text[:100] + "...")
