"""How another server is talked to: where, by which binding, in which version of A2A.

A card says it. Where cards are known to be wrong the server is taken as it is: each entry names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit, urlunsplit
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
from a2a.client.transports.base import ClientTransport
from a2a.client.transports.jsonrpc import JsonRpcTransport
from a2a.client.transports.rest import RestTransport
from a2a.client.transports.tenant_decorator import TenantTransportDecorator
from a2a.compat.v0_3.versions import is_legacy_version
from a2a.types import AgentCard, AgentInterface, Message

BINDINGS = ("JSONRPC", "HTTP+JSON")

_AGNO_PATH = "/v1/message:stream"
_LANGGRAPH_PATH = re.compile(r"/a2a/[0-9a-fA-F-]{36}/?")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to talk to an agent. ``old`` is A2A 0.3; ``streams`` says to ask for a stream."""

    url: str
    binding: str
    old: bool
    streams: bool
    tenant: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def transport(self, http: httpx.AsyncClient, card: AgentCard) -> ClientTransport:
        """What sends requests this way."""
        transport = self._old(http, card) if self.old else self._new(http, card)
        return TenantTransportDecorator(transport, self.tenant) if self.tenant else transport

    def _new(self, http: httpx.AsyncClient, card: AgentCard) -> ClientTransport:
        kind = JsonRpcTransport if self.binding == "JSONRPC" else RestTransport
        return kind(http, card, self.url, is_shared_httpx=True)

    def _old(self, http: httpx.AsyncClient, card: AgentCard) -> ClientTransport:
        # 0.3 has types of its own, which take as long to import as all else here.
        if self.binding != "JSONRPC":
            from a2a.compat.v0_3.rest_transport import CompatRestTransport

            return CompatRestTransport(http, card, self.url, is_shared_httpx=True)
        if urlsplit(self.url).path.endswith(_AGNO_PATH):
            from codin.agent.adapters.remote.agno import AgnoTransport

            return AgnoTransport(http, card, self.url, is_shared_httpx=True)
        from a2a.compat.v0_3.jsonrpc_transport import CompatJsonRpcTransport

        return CompatJsonRpcTransport(http, card, self.url, is_shared_httpx=True)


def ways(card: AgentCard, base: str) -> list[Way]:
    """The ways to the agent whose card was found under the URL ``base``, the best first.

    1.0 comes before 0.3, and in the card's order what it offers. After them comes 0.3 where the
    card says 1.0, for servers that know less than their cards; and each without a stream.
    """
    found: dict[Way, None] = {}
    offered = [i for i in card.supported_interfaces if i.protocol_binding in BINDINGS]
    for interface in sorted(offered, key=lambda i: is_legacy_version(i.protocol_version)):
        found.update(dict.fromkeys(_of(interface, base)))
    guessed = [replace(way, old=True) for way in found if way.binding == "JSONRPC"]
    found.update(dict.fromkeys(guessed))
    if is_langgraph(card):
        # It streams in 1.0's names and 0.3's shape when asked for 1.0, and by 0.3 when asked for
        # that (langgraph-api 0.16.7).
        found = dict.fromkeys(sorted(found, key=lambda way: not way.old))
    streaming = list(found) if card.capabilities.streaming else []
    return [*streaming, *(replace(way, streams=False) for way in found)]


def is_langgraph(card: AgentCard) -> bool:
    """Whether it is the card of an assistant of LangGraph's own server."""
    tagged = any("langgraph" in skill.tags for skill in card.skills)
    return tagged and any(
        _LANGGRAPH_PATH.fullmatch(urlsplit(i.url).path) for i in card.supported_interfaces
    )


def fit(message: Message, card: AgentCard) -> None:
    """Change ``message`` to what the server of ``card`` can take."""
    if is_langgraph(card) and message.context_id:
        # Its contexts are threads, whose ids are UUIDs; any other is an internal error there.
        message.context_id = _as_uuid(message.context_id)


def _of(interface: AgentInterface, base: str) -> Iterator[Way]:
    old = is_legacy_version(interface.protocol_version)
    for url in _addresses(interface.url, base):
        yield Way(url, interface.protocol_binding, old, True, interface.tenant)


def _addresses(url: str, base: str) -> list[str]:
    """Where a server that calls itself ``url`` may be, when its card was found under ``base``.

    In a container or behind a proxy it does not know what it is called outside. This machine is
    never meant by the card of another: an agent there must not lead to what listens here.
    """
    said = urljoin(base, url)
    there, here = urlsplit(said), urlsplit(base)
    if (there.scheme, there.netloc) == (here.scheme, here.netloc):
        return [said]
    same_path = urlunsplit((here.scheme, here.netloc, there.path, there.query, ""))
    below = urljoin(base, there.path.lstrip("/"))
    found = [same_path] if here.path in {"", "/"} else [below, same_path]
    nowhere = _is_local(there.hostname) and not _is_local(here.hostname)
    return found if nowhere or _is_unspecified(there.hostname) else [said, *found]


def _is_local(host: str | None) -> bool:
    if _is_unspecified(host) or host == "localhost" or (host or "").endswith(".localhost"):
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def _is_unspecified(host: str | None) -> bool:
    try:
        return not host or ip_address(host).is_unspecified
    except ValueError:
        return False


def _as_uuid(context_id: str) -> str:
    try:
        return str(UUID(context_id))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, f"urn:codin:context:{context_id}"))
