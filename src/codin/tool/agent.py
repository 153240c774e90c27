"""An agent as a tool of another, and the tool by which an agent hands its task to another.

An agent asks for the agent ``writer`` as a tool by the name ``agent:writer`` among its tools; its
model sees the tool ``ask_writer``. One that may hand off to ``billing`` has a tool
``transfer_to_billing``. Who does the work behind them is an ``AgentCaller``, which the task package
has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from codin.tool.base import ToolLimits, ToolSpec
from codin.tool.invocation import Invocation, RunnableTool

if TYPE_CHECKING:
    from codin.security import RunGrant

AGENT_TOOL = "agent:"
"""What the name of a tool begins with that is an agent; the agent's id follows."""

_RESULT_CHARS = 32_000


@dataclass(frozen=True, slots=True)
class AgentBehind:
    """The agent behind a tool, as a model is told of it."""

    id: str
    name: str
    description: str


class AgentCaller(Protocol):
    """Has agents called for the run of a grant. Both raise ``ToolError``, which says why."""

    async def ask(self, grant: RunGrant, agent_id: str, request: str, data: Any, key: str) -> Any:
        """The agent's answer to ``request``, once it has done its task. ``key`` is the call's
        idempotency key: a call that is made again goes on where it stopped. Cancelling it cancels
        the task, and waits for that."""
        ...

    async def may_hand_off(self, grant: RunGrant, agent_id: str) -> None:
        """Return when the run can be handed to the agent now."""
        ...

    async def hand_off(self, grant: RunGrant, agent_id: str, note: str) -> None:
        """Have the agent take the run's task over; returns when the run is being ended."""
        ...


class AgentTool(RunnableTool):
    """Gives an agent a piece of work, as a task of its own; its answer is the result.

    The answer is its text, or an object with ``text``, ``data`` and ``files`` where it gave more.
    """

    def __init__(self, agent: AgentBehind, caller: AgentCaller, *, seconds: float) -> None:
        self._agent = agent.id
        self._caller = caller
        self.name = asking(agent.id)
        self.spec = ToolSpec(
            name=self.name,
            description=(
                f"Ask the agent {agent.name} to do a piece of work and get its answer. It sees "
                f"nothing but the request. {agent.description}".strip()
            ),
            input_schema={
                "type": "object",
                "properties": {
                    "request": {
                        "type": "string",
                        "minLength": 1,
                        "description": "What is to be done, with all that has to be known for it.",
                    },
                    "data": {"type": "object", "description": "Data that goes with the request."},
                },
                "required": ["request"],
                "additionalProperties": False,
            },
            origin="agent",
            permissions=(f"agent.use:{agent.id}",),
            limits=ToolLimits(seconds=seconds, result_chars=_RESULT_CHARS),
            effects="once",
            if_interrupted="repeat",  # the call of a run that is made again goes on with its task
        )

    async def run(self, call: Invocation) -> Any:
        """Have the agent called for the caller's run."""
        request, data = call.arguments["request"], call.arguments.get("data")
        key = call.idempotency_key
        return await self._caller.ask(call.grant, self._agent, request, data, key)


class HandOffTool(RunnableTool):
    """Ends the caller's run: another agent takes its task over, with the whole conversation."""

    def __init__(self, agent: AgentBehind, caller: AgentCaller) -> None:
        self._agent = agent.id
        self._caller = caller
        self.name = transferring(agent.id)
        self.spec = ToolSpec(
            name=self.name,
            description=(
                f"Hand the conversation over to the agent {agent.name}, which answers instead of "
                f"you; nothing can be said after it. {agent.description}".strip()
            ),
            input_schema={
                "type": "object",
                "properties": {
                    "note": {
                        "type": "string",
                        "description": "What it should know besides the conversation.",
                    }
                },
                "additionalProperties": False,
            },
            origin="agent",
            permissions=(f"agent.use:{agent.id}",),
            effects="once",
            if_interrupted="repeat",
        )

    async def run(self, call: Invocation) -> Any:
        """Check that it can be done; it is done once the call is recorded."""
        await self._caller.may_hand_off(call.grant, self._agent)
        return f"The conversation goes on with {self._agent}."

    async def recorded(self, grant: RunGrant, arguments: dict[str, Any]) -> None:
        """Hand the task over, before the caller's model could be asked again."""
        await self._caller.hand_off(grant, self._agent, arguments.get("note") or "")


def asking(agent_id: str) -> str:
    """The name of the tool that asks an agent."""
    return f"ask_{agent_id}"


def transferring(agent_id: str) -> str:
    """The name of the tool that hands off to an agent."""
    return f"transfer_to_{agent_id}"


def agents_among(tools: Iterable[str]) -> tuple[str, ...]:
    """The ids of the agents among the names of tools."""
    return tuple(name.removeprefix(AGENT_TOOL) for name in tools if name.startswith(AGENT_TOOL))


def granted(tools: Iterable[str], hands_off_to: Sequence[str] = ()) -> frozenset[str]:
    """The names in the registry of what an agent asks for."""
    asked = (
        asking(name.removeprefix(AGENT_TOOL)) if name.startswith(AGENT_TOOL) else name
        for name in tools
    )
    return frozenset([*asked, *map(transferring, hands_off_to)])
