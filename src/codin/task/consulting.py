"""Agents as tools: who is behind ``codin.tool.agent.AgentTool``."""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codin.agent.a2a import user_message
from codin.agent.events import AgentEvent, ArtifactProduced, Completed, InputRequest
from codin.errors import CodinError
from codin.ids import new_id
from codin.security import RunGrant
from codin.task._run_calls import Question
from codin.task.calling import TOOL_STEP, AgentCalls, Call, reason_of, step_of
from codin.task.log._json import digest
from codin.task.log.rows import StepRow
from codin.task.runner import TaskRunner
from codin.task.work import Run
from codin.tool.base import RunEnded, ToolFailed

if TYPE_CHECKING:
    from a2a.types import Message

_SHOWN_BYTES = 16 * 1024


@dataclass(slots=True)
class _Heard:
    """What an agent gave that is no text."""

    made: list[ArtifactProduced] = field(default_factory=list)

    async def __call__(self, event: AgentEvent) -> None:
        if isinstance(event, ArtifactProduced):
            self.made = [one for one in self.made if one.artifact_id != event.artifact_id]
            self.made.append(event)


class Consultations:
    """Has agents asked for the runs of ``runner``, which wait for their answers."""

    def __init__(self, runner: TaskRunner, calls: AgentCalls) -> None:
        self._runner = runner
        self._calls = calls
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
        asking = self._asking(run, grant.agent_id, agent_id, _request(run, request, data, key), key)
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
        """Stop what the run of ``grant`` has called and not waited for, but what waits for an
        answer with it."""
        left = self._running.pop(grant.task_id, None)
        for working in left or ():
            if not working.cancelling():  # a second one would break into its clearing up
                working.cancel()
        if left:
            await asyncio.wait(left)
        run = self._runner.run_of(grant)
        if run is None or run.lost or not run.beginning.again:
            return
        if run.calls and not run.calls.left:
            # It went another way than before, past what had asked then.
            for row in await self._steps(run):
                await self._calls.drop(Call(run, grant.agent_id, "tool", row))

    async def _asking(
        self, run: Run, caller: str, agent_id: str, message: Message, key: str
    ) -> Any:
        from a2a.utils.errors import A2AError

        heard = _Heard()
        try:
            call = await self._begun(run, caller, key)
            if call is None:
                call = await self._calls.begin(run, caller, agent_id, "tool", message, key=key)
                call, attempt = await self._calls.follow(call, message, heard)
            else:
                call, attempt = await self._calls.look(call, heard)
                reply = run.calls.reply_to(key) if run.calls is not None else None
                if reply is not None and isinstance(attempt.end, InputRequest):
                    call, attempt = await self._calls.answered(call, reply.message, heard)
        except (CodinError, A2AError) as error:
            if run.broken_by(error):
                raise RunEnded(f"the run of task {run.task_id} is over: {error}") from error
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
            await self._calls.drop(call)
            raise ToolFailed(
                f"{agent} did not finish: it asks {asked.prompt!r}, and there is nobody to ask "
                "during this call. Call it again with the answer in the request"
            )
        request = asked.model_copy(update={"prompt": f"{agent} asks: {asked.prompt}"})
        try:
            await calls.ask(Question(key, request))
        finally:
            if not calls.left:
                await self._calls.drop(call)

    async def _begun(self, run: Run, caller: str, key: str) -> Call | None:
        """The call as an attempt of the run before this one has begun it, if it is not over."""
        rows = await self._steps(run) if run.beginning.again else ()
        found = next((row for row in rows if row.step_id == step_of(key)), None)
        return None if found is None else Call(run, caller, "tool", found)

    async def _steps(self, run: Run) -> list[StepRow]:
        """The calls of agents that are not over."""
        rows = await self._runner.log.steps(run.principal, run.task_id)
        return [
            row
            for row in rows
            if row.step_id.startswith(TOOL_STEP) and row.state == "working" and row.child_id
        ]


def _request(run: Run, request: str, data: Any, key: str) -> Message:
    from codin.agent._parts import value_part

    parts = [value_part(data)] if data else []
    # A conversation of its own: the request says all that there is to know.
    name = digest(key)[:32] if key else new_id()
    message = user_message(request, parts=parts, context_id=f"{run.task_id}.{name[:12]}")
    message.message_id = name  # the same call makes one task, also when its run is made again
    return message


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
