"""Tasks that another agent takes over: by a hand-off, or because their agent is a router.

The client sees one task: what the other agent says and makes is said in it, and its end is the
task's end. The other agent does it as a task of its own, a step of the first.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Canceled,
    Completed,
    EndEvent,
    Failed,
    HandOff,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolResult,
)
from codin.errors import CodinError
from codin.security import RunGrant
from codin.task._stopping import PATIENCE, stopped
from codin.task._told import Told
from codin.task.asking import AskingWork
from codin.task.calling import AgentCalls, Call, How, reason_of
from codin.task.chain import NOTE
from codin.task.consulting import Consultations
from codin.task.log.base import EventLog
from codin.task.log.rows import StepRow
from codin.task.work import Run
from codin.tool.agent import transferring
from codin.tool.base import RunEnded, ToolFailed

if TYPE_CHECKING:
    from a2a.types import Message


@dataclass(slots=True)
class _Post:
    """An agent at work that may hand its task off, and to whom it did."""

    run: Run
    promised: str = ""
    to: str = ""
    note: str = ""
    handed: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    open_calls: dict[str, str] = field(default_factory=dict)

    def hand(self, to: str, note: str = "") -> None:
        if not self.to:
            self.to, self.note = to, note
            self.handed.set()


class HandOffs:
    """The runs that may be handed off, and that wish when it comes."""

    def __init__(self, calls: AgentCalls) -> None:
        self._calls = calls
        self._posts: dict[str, _Post] = {}

    def open(self, run: Run) -> _Post:
        """From now on the run may be handed off."""
        post = self._posts[run.task_id] = _Post(run)
        return post

    def close(self, post: _Post) -> None:
        """It may be no more."""
        post.ended.set()
        if self._posts.get(post.run.task_id) is post:
            del self._posts[post.run.task_id]

    async def may_hand_off(self, grant: RunGrant, agent_id: str) -> None:
        """Return when the run of ``grant`` can be handed to the agent, which nobody else can be
        after that.

        Raises:
            ToolError: it cannot; the message says why.
        """
        post = self._posts.get(grant.task_id)
        if post is None or post.run.principal != grant.principal:
            raise RunEnded(f"the run of task {grant.task_id} is over: it cannot be handed off")
        try:
            await self._calls.admit(post.run, agent_id, message_of(post.run, ""))
        except CodinError as error:
            if post.run.broken_by(error):
                raise RunEnded(f"the run of task {grant.task_id} is over: {error}") from error
            raise ToolFailed(f"it cannot be handed to {agent_id}: {error}") from error
        if post.promised:
            raise ToolFailed(f"the conversation has been handed to {post.promised} already")
        post.promised = agent_id

    async def hand_off(self, grant: RunGrant, agent_id: str, note: str) -> None:
        """Have the run of ``grant`` handed over, and return once it is being ended."""
        post = self._posts.get(grant.task_id)
        if post is not None:
            post.hand(agent_id, note)
            await post.ended.wait()


class PlatformCaller:
    """What is behind the tools that are agents: ``codin.tool.agent.AgentCaller``."""

    def __init__(self, consultations: Consultations, hand_offs: HandOffs) -> None:
        self.ask = consultations.ask
        self.may_hand_off = hand_offs.may_hand_off
        self.hand_off = hand_offs.hand_off


class Passing:
    """Has an agent do the whole task of a run."""

    def __init__(self, log: EventLog, calls: AgentCalls) -> None:
        self._log = log
        self._calls = calls

    async def open_step(self, run: Run) -> StepRow | None:
        """The step by which the task was handed over before it asked something, or by an attempt
        before this one, if it was: that may even have seen its end."""
        rows = await self._log.steps(run.principal, run.task_id)
        passed = [row for row in rows if row.step_id.startswith(("handoff-", "route-"))]
        again = run.beginning.again
        going_on = [row for row in passed if row.child_id and (again or row.state == "working")]
        return going_on[-1] if going_on else None

    async def pass_on(self, run: Run, caller: str, to: str, how: How, note: str = "") -> EndEvent:
        """Have the agent ``to`` do the task, with all that has been said in its conversation.

        Raises:
            CallRefused: it may not.
            NotFoundError: there is no such agent for the run's principal.
            A2AError: it does not take the message.
        """
        message = message_of(run, note and f"{caller} notes: {note}")
        call = await self._calls.begin(run, caller, to, how, message)
        await run.emit(HandOff(from_agent=caller, to_agent=to))
        heard = _Relay(run, call.row.step_id, Told())
        _, attempt = await self._calls.follow(call, message, heard, run.history)
        return _end(to, attempt.end)

    async def go_on(self, run: Run, caller: str, row: StepRow, said: Told) -> EndEvent:
        """Go on with a task that was handed over: because its agent asked something, or because the
        process that followed it has ended; ``said`` is what was heard of it until then.

        Raises:
            A2AError: the agent does not take the answer.
        """
        how: How = "route" if row.step_id.startswith("route-") else "handoff"
        call = Call(run, caller, how, row)
        heard = _Relay(run, row.step_id, said)
        assert row.child_id is not None
        child = await self._log.task(run.principal, row.child_id)
        if run.beginning.turn == 1 or (run.beginning.again and not child.interrupted):
            _, attempt = await self._calls.look(call, heard)  # there is nothing to answer
        else:
            _, attempt = await self._calls.answered(call, run.message, heard, run.history)
        return _end(row.agent, attempt.end)


class PassingWork(AskingWork):
    """A task done by an agent that may hand it off; by a router, which always does."""

    def __init__(
        self, *given: Any, hand_offs: HandOffs, passing: Passing, routes: bool, **asking: Any
    ) -> None:
        super().__init__(*given, **asking)
        self._hand_offs = hand_offs
        self._passing = passing
        self._routes = routes
        self._post: _Post | None = None

    async def perform(self, run: Run) -> EndEvent:
        step = await self._passing.open_step(run)
        if step is not None:
            await self.recall(run, since=1)
            # what its own agent said before is not said again by the one that has the task now
            said = self._said.only(f"{step.step_id}-")
            return await self._passing.go_on(run, self.id, step, said)
        post = self._post = self._hand_offs.open(run)
        try:
            end = await self._until_handed(run, post)
        finally:
            self._hand_offs.close(post)
        if not post.to:
            return end
        how: How = "route" if self._routes else "handoff"
        return await self._passing.pass_on(run, self.id, post.to, how, post.note)

    async def say(self, run: Run, event: AgentEvent) -> None:
        post = self._post
        if post is None or (post.handed.is_set() and post.told.is_set()):
            return  # what it says after it handed off is nobody's
        if self._routes and isinstance(event, HandOff):
            post.hand(event.to_agent)
            post.told.set()
            return
        await super().say(run, event)
        match event:
            case ToolCall(call_id=call_id, name=name):
                post.open_calls[call_id] = name
                self._see(post)
            case ToolResult(call_id=call_id):
                post.open_calls.pop(call_id, None)

    def _see(self, post: _Post) -> None:
        if post.to and transferring(post.to) in post.open_calls.values():
            post.told.set()

    async def _until_handed(self, run: Run, post: _Post) -> EndEvent:
        """Have the agent work until it ends or hands off; its run has ended then."""
        working = asyncio.create_task(super().perform(run))
        handed = asyncio.create_task(post.handed.wait())
        try:
            await asyncio.wait({working, handed}, return_when=asyncio.FIRST_COMPLETED)
            if not post.to:
                return working.result()
            await self._told(run, post, working)
        finally:
            handed.cancel()
            await stopped(working, run.task_id, post.ended.set)
        return Completed()

    async def _told(self, run: Run, post: _Post, working: asyncio.Task[EndEvent]) -> None:
        """Close the call by which it was handed off: its agent never sees the result."""
        self._see(post)
        if not working.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await post.told.wait()
        post.told.set()
        for call_id, name in post.open_calls.items():
            if name == transferring(post.to):
                text = f"The conversation goes on with {post.to}."
                await run.emit(ToolResult(call_id=call_id, name=name, content=text))


class _Relay:
    """Says in a run what the agent says that took its task over, unless it was ``said`` before."""

    def __init__(self, run: Run, prefix: str, said: Told) -> None:
        self._run = run
        self._prefix = prefix
        self._said = said

    async def __call__(self, event: AgentEvent) -> None:
        match event:
            case TextDelta(message_id=key) | TextFinal(message_id=key):
                await self._say(event.model_copy(update={"message_id": f"{self._prefix}-{key}"}))
            case ArtifactProduced(artifact_id=key):
                await self._say(event.model_copy(update={"artifact_id": f"{self._prefix}-{key}"}))

    async def _say(self, event: AgentEvent) -> None:
        new = self._said.new(event)
        if new is not None:
            await self._run.emit(new)


def message_of(run: Run, note: str) -> Message:
    """The message of a run, for the agent that takes its task over."""
    from a2a.types import Message

    from codin.agent._parts import struct
    from codin.agent.a2a import text_part

    message = Message()
    message.CopyFrom(run.message)
    message.ClearField("task_id")
    message.context_id = run.context_id
    if note:
        part = text_part(note)
        part.metadata.CopyFrom(struct({NOTE: True}))
        message.parts.append(part)
    return message


def _end(agent_id: str, end: EndEvent) -> EndEvent:
    """The end of the task of an agent that took a task over, as the end of that task."""
    told = f"{agent_id} {reason_of(end)}"
    match end:
        case Completed():
            return Completed()
        case InputRequest():
            return end
        case Failed(error_type=kind):
            return Failed(error_type=kind, message=told)
        case Rejected():
            return Rejected(message=told)
        case Canceled():
            return Canceled(message=told)
