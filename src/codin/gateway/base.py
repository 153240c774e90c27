"""What the gateway is put together from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codin.agent.base import AgentInfo
from codin.agent.host.process import HostState
from codin.gateway.quota import Quota
from codin.security import Principal
from codin.tool.base import ToolSpec

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from codin.agent.cards import Cards
    from codin.gateway.auth import Authenticator
    from codin.gateway.e2b.opening import E2bMount
    from codin.memory import MemorySystem
    from codin.security import Access
    from codin.task.handler import AgentRequestHandler
    from codin.task.log import EventLog
    from codin.task.push import PushNotifications
    from codin.tool.workspace import Workspaces


@dataclass(frozen=True, slots=True)
class ServedAgent:
    """An agent as clients reach it: what its card says, and what answers for it."""

    info: AgentInfo
    handler: AgentRequestHandler


@dataclass(frozen=True, slots=True)
class ModelBadge:
    """How the model in use is called where people see it. ``basic`` marks the embedded one."""

    label: str
    basic: bool = False


async def _ready() -> Sequence[str]:
    return ()


async def _all_ready() -> Mapping[str, HostState]:
    return {}


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """All that the gateway is put together from.

    ``agents`` and ``tools`` answer with what a principal may use, and are asked at each request;
    ``find_tools`` with the tools that fit some words, the best first, where they are searched.
    ``readiness`` gives sentences on what is not ready yet. ``quota`` is what each caller
    may take, over all bindings that serve these parts.
    A stream says that it is there every ``heartbeat_seconds``, and ends when its client leaves it
    unread for ``stall_seconds``. ``root`` is the agent at the address itself, if not the
    orchestrator. ``public_url`` is where all of it is reached, if that is not where a request says
    that it went; ``host_names`` are other names by which it may be called. ``jwks`` gives the
    public keys by which tokens and cards are verified. ``e2b`` is the service of sandboxes, if
    there is one, and ``mcp`` the tools as an MCP server. ``states`` are how agents are, by their
    ids, and ``problems`` the sources of those that could not be brought up, and why. ``memory``
    is shown to those whose it is.
    """

    orchestrator: ServedAgent
    agents: Callable[[Principal], Sequence[ServedAgent]]
    tools: Callable[[Principal], Sequence[ToolSpec]]
    log: EventLog
    workspaces: Workspaces
    cards: Cards
    authenticator: Authenticator
    access: Access
    root: ServedAgent | None = None
    push: PushNotifications | None = None
    public_url: str | None = None
    host_names: frozenset[str] = frozenset()
    jwks: Callable[[], Mapping[str, Any]] | None = None
    model: Callable[[], ModelBadge | None] = lambda: None
    readiness: Callable[[], Awaitable[Sequence[str]]] = field(default=_ready)
    quota: Quota = field(default_factory=Quota)
    heartbeat_seconds: float = 15.0
    stall_seconds: float = 30.0
    e2b: E2bMount | None = None
    mcp: ASGIApp | None = None
    states: Callable[[], Awaitable[Mapping[str, HostState]]] = field(default=_all_ready)
    problems: Callable[[], Sequence[tuple[str, str]]] = tuple
    find_tools: Callable[[Principal, str], Awaitable[Sequence[ToolSpec]]] | None = None
    memory: MemorySystem | None = None

    @property
    def front(self) -> ServedAgent:
        """The agent at the address itself."""
        return self.root or self.orchestrator
