"""An agent's A2A card."""

from __future__ import annotations

from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill

from codin import __version__
from codin.agent.base import AgentInfo

PROTOCOL_VERSION = "1.0"

_TEXT = ("text/plain",)


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
        default_input_modes=_TEXT,
        default_output_modes=(*_TEXT, "application/json"),
        skills=_skills(info),
    )


def _interface(url: str, binding: str) -> AgentInterface:
    return AgentInterface(url=url, protocol_binding=binding, protocol_version=PROTOCOL_VERSION)


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
