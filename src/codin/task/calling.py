"""Agents that call agents: each call a task of its own, below the caller's, over A2A.

Whoever calls, all of it is in the log: the caller's task has a step for each call, which says who
called whom and how, and takes in the events of the task behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from codin.agent.a2a import user_message
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Canceled,
    Completed,
    EndEvent,
    Failed,
    InputRequest,
    Rejected,
    TextFinal,
)
from codin.agent.plan import Step
from codin.errors import CodinError
from codin.ids import new_id
from codin.security import RunGrant
from codin.task.calls import Question, Reply
from codin.task.chain import CallLimits, CallRefused, callers, check
from codin.task.dispatch import Attempt, Dispatcher, Handlers
from codin.task.errors import TaskEnded
from codin.task.log.base import StepRow, StepState
from codin.task.log.follow import follow
from codin.task.projection import to_json
from codin.task.runner import TaskRunner
from codin.task.states import STOPPED
from codin.task.work import Run
from codin.tool.base import RunEnded, ToolFailed

if TYPE_CHECKING:
    from a2a.types import Message

How = Literal["tool", "handoff", "route"]
"""How an agent came to call another: as a tool, by handing its task to it, or as a router."""

Heard = Callable[[AgentEvent], Awaitable[None]]

_SHOWN_CHARS = 2_000
_SHOWN_BYTES = 16 * 1024


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


@dataclass(slots=True)
class _Heard:
    """What an agent gave that is no text."""

    made: list[ArtifactProduced] = field(default_factory=list)

    async def __call__(self, event: AgentEvent) -> None:
        if isinstance(event, ArtifactProduced):
            self.made = [one for one in self.made if one.artifact_id != event.artifact_id]
            self.made.append(event)


class AgentCalls:
    """Has agents called for the runs of ``runner``, within ``limits``."""

    def __init__(self, runner: TaskRunner, handlers: Handlers, limits: CallLimits) -> None:
        self._runner = runner
        self._handlers = handlers
        self._limits = limits
        self._running: dict[str, set[asyncio.Task[Any]]] = {}

    async def ask(
        self, grant: RunGrant, agent_id: str, request: str, data: Any = None, key: str = ""
    ) -> Any:
        """The answer of an agent that is a tool of the run of ``grant``: its text, or an object
        with ``text``, ``data`` and ``files`` where it gave more. What the agent asks meanwhile, the
        run's task asks; the call of the same ``key`` then goes on with what was answered.

        Raises:
            ToolError: it gave none; the message says why.
        """
        run = self._runner.run_of(grant)
        if run is None:
            raise RunEnded(f"the run of task {grant.task_id} is over: it can call no agent")
        # In a context of its own: what an agent's framework keeps in context variables, such as who
        # hears of its model, must not get into the run of another.
        asking = self._asking(run, grant.agent_id, agent_id, _request(run, request, data), key)
        working = asyncio.create_task(asking, context=Context())
        below = self._running.setdefault(run.task_id, set())
        below.add(working)
        try:
            return await working
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise RunEnded(f"the run of task {grant.task_id} is over") from None
        finally:
            below.discard(working)
            if not below:
                self._running.pop(run.task_id, None)

    async def end(self, grant: RunGrant) -> None:
        """Stop what the run of ``grant`` has called and not waited for."""
        left = self._running.pop(grant.task_id, None)
        for working in left or ():
            if not working.cancelling():  # a second one would break into its clearing up
                working.cancel()
        if left:
            await asyncio.wait(left)

    async def begin(self, run: Run, caller: str, agent_id: str, how: How, message: Message) -> Call:
        """A call that may be made, written down as a step of the caller's task.

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
        row = StepRow(f"{how}-{new_id()[:12]}", agent_id, _shown(message), title=f"for {caller}")
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
            await self._halt(made)
            await made.mark("canceled")
            raise
        except Exception as error:
            await made.mark("failed", error=str(error))
            raise
        return await self._marked(made, attempt.end), attempt

    async def answered(
        self, call: Call, answer: Message, heard: Heard, history: tuple[Message, ...] = ()
    ) -> tuple[Call, Attempt]:
        """Go on with a call whose agent asked something; ``follow`` says how.

        Raises:
            A2AError: the agent does not take the answer.
        """
        principal, child_id = call.run.principal, call.row.child_id
        assert child_id is not None
        child = await self._runner.log.task(principal, child_id)
        if child.interrupted:
            message = user_message(parts=list(answer.parts), task_id=child_id)
            return await self.follow(call, message, heard, history)
        # Somebody has answered the agent's own task: what came of it is the answer.
        async for _ in follow(self._runner.log, principal, child_id, until=STOPPED):
            pass
        call, attempt = await self.look(call)
        text = TextFinal(message_id=f"{child_id}-answer", text=attempt.text)
        await heard(text)
        return call, attempt

    async def look(self, call: Call) -> tuple[Call, Attempt]:
        """What the call's task has come to, as it stands."""
        assert call.row.child_id is not None
        attempt = await Dispatcher(call.run, self._handlers).look(call.step, call.row.child_id)
        await call.run.adopt(call.row.child_id, step=call.row.step_id, agent=call.row.agent)
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
                await self._runner.cancel(call.run.principal, child_id, reason)
            await call.run.adopt(child_id, step=call.row.step_id, agent=call.row.agent)

    async def _asking(
        self, run: Run, caller: str, agent_id: str, message: Message, key: str
    ) -> Any:
        from a2a.utils.errors import A2AError

        heard = _Heard()
        reply = run.calls.reply_to(key) if run.calls is not None else None
        try:
            if reply is None:
                call = await self.begin(run, caller, agent_id, "tool", message)
                call, attempt = await self.follow(call, message, heard)
            else:
                call = await self._paused(run, caller, reply)
                call, attempt = await self.answered(call, reply.message, heard)
        except (CodinError, A2AError) as error:
            raise ToolFailed(f"{agent_id} could not be asked: {error}") from error
        if isinstance(attempt.end, InputRequest):
            await self._pass_up(call, key, attempt.end)
        if not isinstance(attempt.end, Completed):
            raise ToolFailed(f"{agent_id} {reason_of(attempt.end)}")
        return _answer(attempt.text, heard.made)

    async def _pass_up(self, call: Call, key: str, asked: InputRequest) -> None:
        """Have the caller's task ask what the agent asks. Returns never.

        Raises:
            ToolFailed: there is nobody to ask.
        """
        calls, agent = call.run.calls, call.row.agent
        if calls is None:
            await self.drop(call)
            raise ToolFailed(
                f"{agent} did not finish: it asks {asked.prompt!r}, and there is nobody to ask "
                "during this call. Call it again with the answer in the request"
            )
        request = asked.model_copy(update={"prompt": f"{agent} asks: {asked.prompt}"})
        question = Question(key, request, {"step": call.row.step_id})
        try:
            await calls.ask(question)
        finally:
            if calls.question is not question:
                await self.drop(call)  # it was given up, or another call asks

    async def _paused(self, run: Run, caller: str, reply: Reply) -> Call:
        """The call that asked what ``reply`` answers."""
        rows = await self._runner.log.steps(run.principal, run.task_id)
        [row] = [row for row in rows if row.step_id == reply.about["step"]]
        return Call(run, caller, "tool", row)

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


def _request(run: Run, request: str, data: Any) -> Message:
    from codin.agent._parts import value_part

    parts = [value_part(data)] if data else []
    # A conversation of its own: the request says all that there is to know.
    return user_message(request, parts=parts, context_id=f"{run.task_id}.{new_id()[:12]}")


def _shown(message: Message) -> str:
    said = "\n".join(part.text for part in message.parts if part.HasField("text"))
    return said[:_SHOWN_CHARS]


def _answer(text: str, made: list[ArtifactProduced]) -> Any:
    data = [one.data for one in made if one.data is not None]
    files = [_file(one) for one in made if one.data is None]
    if not data and not files:
        return text
    answer: dict[str, Any] = {"text": text}
    if data:
        answer["data"] = data[0] if len(data) == 1 else data
    if files:
        answer["files"] = files
    return answer


def _file(made: ArtifactProduced) -> dict[str, Any]:
    """What a model is told of a file: what it is, and what is in it where that is short text."""
    told: dict[str, Any] = {"name": made.name or made.artifact_id, "media_type": made.media_type}
    if made.url is not None:
        return {**told, "url": made.url}
    raw = made.raw if made.raw is not None else (made.text or "").encode()
    told["bytes"] = len(raw)
    try:
        return {**told, "text": raw.decode()} if len(raw) <= _SHOWN_BYTES else told
    except UnicodeDecodeError:
        return told
