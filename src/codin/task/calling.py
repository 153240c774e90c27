"""Agents that call agents: each call a task of its own, below the caller's, over A2A.

Whoever calls, all of it is in the log: the caller's task has a step for each call, which says who
called whom and how, and takes in the events of the task behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from codin.agent.events import (
    AgentEvent,
    Canceled,
    Completed,
    EndEvent,
    Failed,
    InputRequest,
    Rejected,
    TextFinal,
)
from codin.agent.planning.plan import Step
from codin.ids import new_id
from codin.task.chain import CallLimits, CallRefused, callers, check
from codin.task.dispatch import Attempt, Dispatcher, Handlers, answer_to, unheard
from codin.task.errors import TaskEnded
from codin.task.log._json import digest
from codin.task.log.follow import follow
from codin.task.log.rows import StepRow, StepState
from codin.task.projection import to_json
from codin.task.runner import TaskRunner
from codin.task.states import STOPPED
from codin.task.work import Run

if TYPE_CHECKING:
    from a2a.types import Message

How = Literal["tool", "handoff", "route"]
"""How an agent came to call another: as a tool, by handing its task to it, or as a router."""

Heard = Callable[[AgentEvent], Awaitable[None]]

TOOL_STEP = "tool-"
"""What the steps begin with that are calls of agents as tools."""

_SHOWN_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the step of the caller's task that it is, and by whom."""

    run: Run
    caller: str
    how: How
    row: StepRow

    async def mark(self, state: StepState, *, child_id: str | None = None, error: str = "") -> Call:
        """Say in the log how it stands."""
        row = replace(self.row, state=state, child_id=child_id or self.row.child_id, attempt=1)
        row = replace(row, error=error or None)
        payload = {
            "type": "step",
            "id": row.step_id,
            "agent": row.agent,
            "state": state,
            "task_id": row.child_id,
            "attempt": row.attempt,
            "caller": self.caller,
            "how": self.how,
            **({"error": error} if error else {}),
        }
        await self.run.say(payload, steps=[row])
        return replace(self, row=row)

    @property
    def step(self) -> Step:
        return Step.model_construct(id=self.row.step_id, agent=self.row.agent, instruction="")


class AgentCalls:
    """Has agents called for the runs of ``runner``, within ``limits``."""

    def __init__(self, runner: TaskRunner, handlers: Handlers, limits: CallLimits) -> None:
        self._runner = runner
        self._handlers = handlers
        self._limits = limits

    async def begin(
        self, run: Run, caller: str, agent_id: str, how: How, message: Message, *, key: str = ""
    ) -> Call:
        """A call that may be made, to be written down as a step of the caller's task; the call of a
        tool is found again by its ``key``.

        Raises:
            CallRefused: it may not.
            NotFoundError: there is no such agent for the run's principal.
        """
        await self.admit(run, agent_id, message)
        root = self._runner.active(run.principal, run.goal_id) or run
        if root.begun >= self._limits.tasks:
            raise CallRefused(
                f"{caller} may not call {agent_id}: agents have begun {root.begun} tasks for this "
                "one already, and no more are allowed; answer with what there is (calls.tasks in "
                "codin.toml)"
            )
        root.begun += 1
        step_id = step_of(key) if key else f"{how}-{new_id()[:12]}"
        row = StepRow(step_id, agent_id, _shown(message), title=f"for {caller}")
        return Call(run, caller, how, row)

    async def admit(self, run: Run, agent_id: str, message: Message) -> None:
        """Return when the run may call the agent, as far as can be told beforehand.

        Raises:
            CallRefused: it would go too deep, or in a circle.
            NotFoundError: there is no such agent for the run's principal.
        """
        self._handlers(run.principal, agent_id)
        above = await callers(self._runner.log, run.principal, run.task_id)
        check(above, agent_id, to_json(message).get("parts", ()), self._limits)

    async def follow(
        self, call: Call, message: Message, heard: Heard, history: tuple[Message, ...] = ()
    ) -> tuple[Call, Attempt]:
        """Send ``message`` and follow the call's task until it ends or asks something; ``heard`` is
        told what its agent says. Cancelling it cancels the task, and waits for that.

        Raises:
            A2AError: the agent does not take the message.
        """
        dispatcher = Dispatcher(call.run, self._handlers, history)
        made = call

        async def begun(child_id: str) -> None:
            nonlocal made
            made = await made.mark("working", child_id=child_id)

        try:
            attempt = await dispatcher.send(call.step, message, begun, heard)
        except asyncio.CancelledError:
            if not call.run.lost:
                await self._halt(made)
                await made.mark("canceled")
            raise
        except Exception as error:
            await made.mark("failed", error=str(error))  # which is dropped where the log is away
            raise
        return await self._marked(made, attempt.end), attempt

    async def answered(
        self, call: Call, answer: Message, heard: Heard, history: tuple[Message, ...] = ()
    ) -> tuple[Call, Attempt]:
        """Go on with a call whose agent asked something; ``follow`` says how.

        Raises:
            A2AError: the agent does not take the answer.
        """
        child_id = call.row.child_id
        assert child_id is not None
        child = await self._runner.log.task(call.run.principal, child_id)
        if child.interrupted:
            message = answer_to(child_id, answer)
            return await self.follow(call, message, heard, history)
        # Somebody has answered the agent's own task: what came of it is the answer.
        call, attempt = await self.look(call)
        text = TextFinal(message_id=f"{child_id}-answer", text=attempt.text)
        await heard(text)
        return call, attempt

    async def look(self, call: Call, heard: Heard = unheard) -> tuple[Call, Attempt]:
        """What the call's task has come to once it is at work no more; ``heard`` is told what its
        agent has said."""
        principal, child_id = call.run.principal, call.row.child_id
        assert child_id is not None
        async for _ in follow(self._runner.log, principal, child_id, until=STOPPED):
            pass
        attempt = await Dispatcher(call.run, self._handlers).look(call.step, child_id, heard)
        await call.run.adopt(child_id, step=call.row.step_id, agent=call.row.agent)
        return await self._marked(call, attempt.end), attempt

    async def drop(self, call: Call) -> None:
        """Cancel the call's task, which waits for an answer that nobody will give."""
        reason = f"{call.caller} did not answer it"
        await self._halt(call, reason)
        await call.mark("canceled", error=reason)

    async def _halt(self, call: Call, reason: str = "") -> None:
        """Have the call's task ended, whatever its principal may."""
        child_id = call.row.child_id
        if child_id is not None:
            with suppress(TaskEnded):
                await self._runner.control.cancel(call.run.principal, child_id, reason)
            await call.run.adopt(child_id, step=call.row.step_id, agent=call.row.agent)

    async def _marked(self, call: Call, end: EndEvent) -> Call:
        match end:
            case InputRequest():
                return call
            case Completed():
                return await call.mark("completed")
            case Canceled():
                return await call.mark("canceled", error=reason_of(end))
            case _:
                return await call.mark("failed", error=reason_of(end))


def step_of(key: str) -> str:
    """The step of the call of an agent that is a tool, by its idempotency key."""
    return f"{TOOL_STEP}{digest(key)[:12]}"


def reason_of(end: EndEvent) -> str:
    """How an agent's task ended that did not end well, as what follows its name."""
    match end:
        case Failed(message=message):
            return f"failed: {message}"
        case Rejected(message=message):
            return f"does not take this: {message}"
        case Canceled(message=message):
            return f"was canceled{': ' if message else ''}{message}"
        case _:
            return f"ended with {end.kind}"


def _shown(message: Message) -> str:
    said = "\n".join(part.text for part in message.parts if part.HasField("text"))
    return said[:_SHOWN_CHARS]
