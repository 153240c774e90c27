"""Small parts for tests of what is around an agent: an agent of one function, and A2A calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from a2a.server.context import ServerCallContext
from a2a.types import SendMessageRequest

from codin.agent.a2a import user_message
from codin.agent.base import AgentInfo, Task
from codin.agent.events import AgentEvent
from codin.agent.response import AgentResponse
from codin.security import LOCAL_USER, Principal
from codin.tool.base import Tool

ANN = Principal("acme", "ann", roles=frozenset({"owner"}))
BOB = Principal("acme", "bob", roles=frozenset({"owner"}))

Events = Callable[[Task], AsyncGenerator[AgentEvent, None]]


@dataclass
class SmallAgent:
    """An agent whose events an async generator function gives."""

    events: Events
    id: str = "small"
    name: str = "Small"
    description: str = "does little"
    tools: list[Tool] = field(default_factory=list)
    asked: tuple[str, ...] = ()

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self.events(task))

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(self.id, self.name, self.description, tools=self.asked)


def call_context(principal: Principal | None = LOCAL_USER, **state: Any) -> ServerCallContext:
    """The context of an A2A call by ``principal``; by nobody when it is ``None``."""
    return ServerCallContext(state={"principal": principal, **state} if principal else state)


def send_request(text: str = "do it", **fields: Any) -> SendMessageRequest:
    """A request to send ``text``; ``fields`` are those of ``user_message``."""
    return SendMessageRequest(message=user_message(text, **fields))
