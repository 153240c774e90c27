"""An agent's A2A card."""

from __future__ import annotations

from collections.abc import Sequence

from a2a.types import AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentSkill

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


def gateway_card(
    info: AgentInfo, url: str, *, push: bool = False, old_clients: bool = True
) -> AgentCard:
    """The card of an agent that the gateway serves at ``url``: with what the gateway can do beside
    what every agent can, and with interfaces for ``old_clients``, those of 0.3. ``push`` says that
    push notifications can be had."""
    card = agent_card(info, url)
    for current in tuple(card.supported_interfaces) if old_clients else ():
        old = _interface(current.url, current.protocol_binding, OLD_PROTOCOL_VERSION)
        card.supported_interfaces.append(old)
    card.capabilities.extended_agent_card = True
    card.capabilities.push_notifications = push
    card.capabilities.extensions.append(
        AgentExtension(uri=RESUME_EXTENSION, description=_RESUME_SAYS)
    )
    card.capabilities.extensions.extend(
        AgentExtension(uri=uri, required=True) for uri in info.required_extensions
    )
    return card


def extended_card(
    info: AgentInfo, url: str, team: Sequence[AgentInfo] = (), *, push: bool = False
) -> AgentCard:
    """The card that an authenticated caller may see (A2A 1.0, section 3.1.11): with the tools that
    the agent asks for, and the skills of its ``team``, those agents that the caller may use."""
    card = gateway_card(info, url, push=push)
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
    return card


def _interface(url: str, binding: str, version: str = PROTOCOL_VERSION) -> AgentInterface:
    return AgentInterface(url=url, protocol_binding=binding, protocol_version=version)


def _skills(info: AgentInfo) -> list[AgentSkill]:
    described = info.skills or (info.description or info.name,)
    return [
        AgentSkill(
            id=info.id if len(described) == 1 else f"{info.id}-{number}",
            name=info.name if len(described) == 1 else text.partition(".")[0][:80],
            description=text,
            tags=sorted({info.framework, *info.tools}),
        )
        for number, text in enumerate(described, start=1)
    ]
