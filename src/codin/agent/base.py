"""The contract of an agent, and the task that it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from codin.agent.response import AgentResponse
from codin.errors import CodinError
from codin.security import Principal
from codin.tool.base import Tool

if TYPE_CHECKING:
    from a2a.types import Message

    from codin.memory.base import MemorySystem
    from codin.security import Scope


INPUT_MODES = ("text/plain", "application/json", "text/*")
"""Media types that every agent can be given: its model reads them as text."""


class AgentError(CodinError):
    """Base of the agent package's errors."""


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """Where this run reaches its language model: an OpenAI-compatible base URL and its key.

    The key is the run's own token, good at the platform's model proxy only.
    """

    base_url: str
    api_key: str
    name: str


@dataclass(frozen=True, slots=True)
class MemoryAccess:
    """What this run's agent remembers of its caller, from run to run: ``system`` takes ``scope``
    and no other."""

    system: MemorySystem
    scope: Scope


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work for one agent: the A2A task, and what this run of it is given.

    ``tools`` are proxies bound to the executor, the principal and this run. ``history`` holds the
    messages before ``message``, oldest first. ``state`` is what the agent gave with the request
    that ``message`` answers. ``memory`` is there for an agent that runs in a host, where the caller
    may read theirs. ``token`` is the run's bearer token at the host API, for an agent that
    runs in a process of its own; it stays out of ``repr``.
    """

    id: str
    context_id: str
    message: Message
    principal: Principal
    history: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    model: ModelAccess | None = None
    memory: MemoryAccess | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The text parts of the message, joined by newlines."""
        return "\n".join(part.text for part in self.message.parts if part.HasField("text"))

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The inputs of the plan's step that it is, by name; empty where it is none."""
        from codin.agent._parts import part_value

        for part in self.message.parts:
            value = part_value(part) if part.HasField("data") else None
            if isinstance(value, dict) and value.get("type") == "inputs":
                return value.get("values") or {}
        return {}


@runtime_checkable
class Agent(Protocol):
    """Whatever does a task.

    ``tools`` are the agent's own declared tools (names it asks the platform for are in its
    ``AgentInfo``); those of a run are in the task.
    """

    id: str
    name: str
    description: str
    tools: list[Tool]

    async def handle(self, task: Task) -> AgentResponse:
        """Begin ``task`` and return its response at once; the work is done as it is consumed.

        Never raises for what goes wrong in the run: that is the response's ``Failed`` event.
        """
        ...


AgentRuntime = Literal["process", "local", "docker", "http"]
"""Where an agent's runs do their work: in the process that has them, in a host on the runtime of
that name, or elsewhere, reached over HTTP."""

_RUNTIMES: dict[str, AgentRuntime] = {"host": "local", "container": "docker"}


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """What the platform knows of an agent without running it.

    ``version`` is that of its framework, in its ``environment``: "current", its requirements, its
    Python or its image.
    ``tools`` are the names of the registry's tools that it asks for in each run (``agent:ID`` is
    another agent), ``hands_off_to`` the ids of agents that it may hand its task to. ``input_modes``
    are the media types that it can read, ``image/*`` all images, ``*/*`` all;
    ``required_extensions`` the URIs of the A2A extensions that a caller has to support.
    """

    id: str
    name: str
    description: str
    framework: str = "function"
    version: str = ""
    tools: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    isolation: str = "process"
    trusted: bool = False
    input_modes: tuple[str, ...] = INPUT_MODES
    required_extensions: tuple[str, ...] = ()
    hands_off_to: tuple[str, ...] = ()
    environment: str = "current"

    @property
    def runtime(self) -> AgentRuntime:
        """Where its runs do their work."""
        if self.framework == "remote":
            return "http"
        return _RUNTIMES.get(self.isolation, "process")
