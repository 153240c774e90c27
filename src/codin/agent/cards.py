"""An agent's A2A card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    OpenIdConnectSecurityScheme,
    SecurityScheme,
)

from codin import __version__
from codin.agent.base import AgentInfo

PROTOCOL_VERSION = "1.0"
OLD_PROTOCOL_VERSION = "0.3"

RESUME_EXTENSION = "urn:codin:a2a:resume:v1"
"""URI of the extension by which a client may resume a stream. Over HTTP the last event seen is the
header ``Last-Event-ID`` (WHATWG HTML, section 9.2.4), over gRPC the metadata ``last-event-id``."""

_RESUME_SAYS = (
    "A stream can be taken up where it broke, from any gateway and also after the task's end: "
    "SubscribeToTask, or SendStreamingMessage with the same messageId again, with Last-Event-ID "
    "gives exactly the events after that one."
)


def agent_card(info: AgentInfo, url: str) -> AgentCard:
    """The card of the agent served at ``url``: JSON-RPC by POST to it, HTTP+JSON under it.

    Every required field is filled (A2A 1.0, section 4.4), for a signature made over an empty one
    is not the same in every implementation: an agent without skills has one, its description.
    """
    address = url.rstrip("/") + "/"
    return AgentCard(
        name=info.name,
        description=info.description or info.name,
        version=__version__,
        supported_interfaces=[
            _interface(address, "JSONRPC"),
            _interface(address.rstrip("/"), "HTTP+JSON"),
        ],
        capabilities=AgentCapabilities(
            streaming=True, push_notifications=False, extended_agent_card=False
        ),
        default_input_modes=info.input_modes,
        default_output_modes=("text/plain", "application/json"),
        skills=_skills(info),
    )


Interfaces = Callable[[AgentInfo], Iterable[AgentInterface]]
"""Where else than over HTTP an agent is served."""


class Cards:
    """The cards that a gateway serves: what each says of the gateway is said here, and signed last.

    ``push`` says that push notifications can be had; ``old_clients``, those of A2A 0.3, get
    interfaces of their own. ``schemes`` are ways to authenticate, by their names, one of which a
    caller has to use; without any, nobody is asked. ``sign`` gives a card its signature.
    """

    def __init__(
        self,
        *,
        push: bool = False,
        old_clients: bool = True,
        schemes: Mapping[str, SecurityScheme] | None = None,
        sign: Callable[[AgentCard], AgentCard] | None = None,
    ) -> None:
        self._push = push
        self._old_clients = old_clients
        self._schemes = schemes or {}
        self._sign = sign
        self._elsewhere: list[Interfaces] = []

    def declare(self, interfaces: Interfaces) -> None:
        """From now on name ``interfaces`` in every card, after those over HTTP."""
        self._elsewhere.append(interfaces)

    def public(self, info: AgentInfo, url: str) -> AgentCard:
        """The card for everybody, of the agent served at ``url``."""
        return self._signed(self._made(info, url))

    def extended(self, info: AgentInfo, url: str, team: Sequence[AgentInfo] = ()) -> AgentCard:
        """The card that an authenticated caller may see (A2A 1.0, section 3.1.11): with the tools
        that the agent asks for, and the skills of its ``team``, those agents that the caller may
        use."""
        card = self._made(info, url)
        for tool in info.tools:
            skill = AgentSkill(
                id=f"{info.id}-tool-{tool}",
                name=tool,
                description=f"Uses the tool {tool}.",
                tags=["tool"],
            )
            card.skills.append(skill)
        for one in team:
            card.skills.extend(_skills(one))
        return self._signed(card)

    def _made(self, info: AgentInfo, url: str) -> AgentCard:
        card = agent_card(info, url)
        for current in tuple(card.supported_interfaces) if self._old_clients else ():
            old = _interface(current.url, current.protocol_binding, OLD_PROTOCOL_VERSION)
            card.supported_interfaces.append(old)
        for interfaces in self._elsewhere:
            card.supported_interfaces.extend(interfaces(info))
        self._add_capabilities(card, info)
        for name, scheme in self._schemes.items():
            card.security_schemes[name].CopyFrom(scheme)
            # any one of the requirements is enough (A2A 1.0, section 4.4.1)
            card.security_requirements.add().schemes[name].SetInParent()
        return card

    def _add_capabilities(self, card: AgentCard, info: AgentInfo) -> None:
        card.capabilities.extended_agent_card = True
        card.capabilities.push_notifications = self._push
        card.capabilities.extensions.append(
            AgentExtension(uri=RESUME_EXTENSION, description=_RESUME_SAYS)
        )
        card.capabilities.extensions.extend(
            AgentExtension(uri=uri, required=True) for uri in info.required_extensions
        )

    def _signed(self, card: AgentCard) -> AgentCard:
        return self._sign(card) if self._sign else card


def bearer_scheme() -> SecurityScheme:
    """A key or token after ``Authorization: Bearer``."""
    return SecurityScheme(
        http_auth_security_scheme=HTTPAuthSecurityScheme(
            scheme="Bearer", description="An API key or a token of this platform."
        )
    )


def oidc_scheme(issuer: str) -> SecurityScheme:
    """A token of the identity provider ``issuer`` (OpenID Connect Discovery 1.0, section 4)."""
    return SecurityScheme(
        open_id_connect_security_scheme=OpenIdConnectSecurityScheme(
            open_id_connect_url=issuer.rstrip("/") + "/.well-known/openid-configuration"
        )
    )


def _interface(url: str, binding: str, version: str = PROTOCOL_VERSION) -> AgentInterface:
    return AgentInterface(url=url, protocol_binding=binding, protocol_version=version)


def _skills(info: AgentInfo) -> list[AgentSkill]:
    """What the agent is there for, and what it can do for it."""
    tags = sorted({info.framework, *info.tools})
    said = info.description or info.name
    whole = AgentSkill(id=info.id, name=info.name, description=said, tags=tags)
    single = [
        AgentSkill(
            id=f"{info.id}-{number}",
            name=text.partition(": ")[0].partition(".")[0][:80],
            description=text,
            tags=tags,
        )
        for number, text in enumerate(info.skills, start=1)
    ]
    return [whole, *single]
