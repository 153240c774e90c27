"""What the platform and an agent host say to each other, and what can go wrong between them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from codin.agent.base import INPUT_MODES, AgentError
from codin.tool.base import ToolSpec

INSIDE = "/run/codin"
"""Where the host's run directory is shown inside its sandbox."""

AGENTS_INSIDE = "/agents"
"""Where the folders of agents' files are shown inside."""

SERVICE_SOCKET = "service.sock"
"""The host listens here: A2A from the platform."""

PLATFORM_SOCKET = "platform.sock"
"""The platform listens here: the host API."""

RUN_EXTENSION = "urn:codin:a2a:run:1"
"""Key of the message metadata by which the platform hands a run's history to a host, and what an
agent that asked needs to go on."""

MAX_BODY = 8 * 1024 * 1024
"""Bytes of the body of one request, in either direction."""

MAX_RUN_BYTES = 32 * 1024 * 1024
"""Bytes of all that an agent says in one run."""

MAX_LISTING = 1024 * 1024
"""Bytes of a host's list of agents."""

MAX_FILES = 1_000
"""How many of the files that a host has loaded it names."""

MAX_MESSAGE = 8_000
"""Characters of what a host says in one piece."""

HOST_URL = "http://agent-host"
"""What stands as a host's address in URLs; its socket is the real one."""

AgentId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class HostError(AgentError):
    """Base of what can go wrong with an agent host."""


class HostStartError(HostError):
    """The host did not get ready, or has no agent to serve; the message has the reason."""


class HostDied(HostError):
    """The host ended in the middle of a run; the message has its last lines."""


class HostCrashLoop(HostError):
    """The host died so often in so short a time that it is not started again for a while."""


class PlatformRefused(HostError):
    """The platform's host API refused a request of the host, such as one with an old token; with
    ``status``, that of HTTP, if it answered at all."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SaidTooMuch(HostError):
    """An agent said more in one run than a host passes on."""


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True)


class HostedInfo(_Wire):
    """What a host says of one of its agents. It comes out of a sandbox: claims, not facts."""

    id: AgentId
    name: Annotated[str, StringConstraints(max_length=200)]
    description: Annotated[str, StringConstraints(max_length=8_000)] = ""
    framework: Annotated[str, StringConstraints(max_length=64)] = "function"
    version: Annotated[str, StringConstraints(max_length=64)] = ""
    tools: tuple[Annotated[str, StringConstraints(max_length=128)], ...] = Field((), max_length=256)
    skills: tuple[Annotated[str, StringConstraints(max_length=500)], ...] = Field(
        (), max_length=256
    )
    input_modes: tuple[Annotated[str, StringConstraints(max_length=128)], ...] = Field(
        INPUT_MODES, max_length=64
    )


class HostProblem(_Wire):
    """An agent that a host could not load, and why."""

    source: str
    error_type: str
    message: Annotated[str, StringConstraints(max_length=MAX_MESSAGE)]


class HostListing(_Wire):
    """The answer to ``GET /agents``. ``files`` are those loaded of the agents' folders."""

    agents: tuple[HostedInfo, ...] = Field((), max_length=256)
    problems: tuple[HostProblem, ...] = Field((), max_length=256)
    files: tuple[Annotated[str, StringConstraints(max_length=4096)], ...] = Field(
        (), max_length=MAX_FILES
    )

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        if len({agent.id for agent in self.agents}) != len(self.agents):
            raise ValueError("two agents have the same id")
        return self


class HostRuns(_Wire):
    """The answer to ``GET /runs``: the platform's ids of the tasks that are under way."""

    tasks: tuple[str, ...] = ()


class MemoryInfo(_Wire):
    """What a run is told of the memory that it has: the name of the embedder, if there is one."""

    embedder: str | None = None


class RunInfo(_Wire):
    """The answer to ``GET /run``: what the run behind a token is, and what it may use."""

    task_id: str
    goal_id: str
    context_id: str
    agent_id: str
    tenant: str
    subject: str
    expires_at: float
    tools: tuple[ToolSpec, ...] = ()
    model: str | None = None
    memory: MemoryInfo | None = None


class ToolRequest(_Wire):
    """The body of ``POST /tools/{name}``."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    call_id: str | None = Field(None, max_length=200)


class ToolAnswer(_Wire):
    """The end of a tool call. A tool's own failure is an answer, not an HTTP error."""

    value: Any = None
    text: str = ""
    is_error: bool = False
    error_type: str | None = None
    truncated: bool = False


class LogRecord(_Wire):
    """One line for the platform's log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    message: str = Field(max_length=16_000)
