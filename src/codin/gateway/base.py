"""What the gateway serves, as small contracts that the rooms below it fulfil."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from codin.agent.base import AgentInfo
from codin.security import Principal
from codin.tool.base import ToolSpec

if TYPE_CHECKING:
    from a2a.server.request_handlers import RequestHandler
    from a2a.types import AgentCard

    from codin.gateway.auth import Authenticator


@dataclass(frozen=True, slots=True)
class ServedAgent:
    """An agent as clients reach it: what its card says, and what answers for it."""

    info: AgentInfo
    handler: RequestHandler


class LogEntry(Protocol):
    """One event of a task's log; ``body`` is JSON data and ``time`` seconds since the epoch."""

    @property
    def task_id(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def time(self) -> float: ...
    @property
    def body(self) -> Mapping[str, Any]: ...


class TaskEvents(Protocol):
    """The log of tasks, to read."""

    async def check(self, principal: Principal, task_id: str) -> None:
        """Return when there is such a task for this principal.

        Raises:
            NotFoundError: there is none.
        """
        ...

    def events(
        self, principal: Principal, task_id: str, *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[LogEntry]:
        """The events of a task with ``seq > after``, children's expanded, in order.

        With ``follow`` it goes on until the task's end has been given.

        Raises:
            NotFoundError: no such task for this principal.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkspaceFile:
    """A file that a goal made. ``size`` in bytes."""

    path: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file's bytes and what they seem to be."""

    content: bytes
    media_type: str


class GoalFiles(Protocol):
    """The files in a goal's workspace, to read."""

    async def files(self, principal: Principal, goal_id: str) -> Sequence[WorkspaceFile]:
        """What is there.

        Raises:
            NotFoundError: no such goal for this principal.
        """
        ...

    async def read(self, principal: Principal, goal_id: str, path: str) -> FileContent:
        """One file; links are not followed and nothing outside is reached.

        Raises:
            NotFoundError: no such file there for this principal.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelBadge:
    """How the model in use is called where people see it. ``basic`` marks the embedded one."""

    label: str
    basic: bool = False


CardBuilder = Callable[[AgentInfo, str], "AgentCard"]
"""Makes the card of an agent that is served at a URL."""


async def _ready() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """All that the gateway is put together from.

    ``agents`` and ``tools`` answer with what a principal may use, and are asked at each request.
    ``readiness`` gives sentences on what is not ready yet. ``max_body_bytes`` bounds a request.
    """

    orchestrator: ServedAgent
    agents: Callable[[Principal], Sequence[ServedAgent]]
    tools: Callable[[Principal], Sequence[ToolSpec]]
    events: TaskEvents
    files: GoalFiles
    card: CardBuilder
    authenticator: Authenticator
    model: Callable[[], ModelBadge | None] = lambda: None
    readiness: Callable[[], Awaitable[Sequence[str]]] = field(default=_ready)
    max_body_bytes: int = 1024 * 1024
    heartbeat_seconds: float = 15.0
