"""The tool calls of runs: written into their tasks' logs, and stopped where one has to be answered
first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from codin.agent.answers import answer, approves
from codin.agent.events import InputRequest, ToolCall
from codin.security import Principal, RunGrant
from codin.task.log.base import EventLog, Kind
from codin.tool.approval import Approver, PendingCall
from codin.tool.base import ApprovalNeeded, RunEnded, ToolRefused
from codin.tool.invocation import CallFinished, CallRecorder, CallStarted

if TYPE_CHECKING:
    from a2a.types import Message

    from codin.task.runner import TaskRunner

_UNFINISHED = frozenset({"Canceled", "ApprovalNeeded"})
"""How calls ended that a run which is made again has to make again."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks before it goes on. ``about`` is given back with the answer."""

    key: str
    request: InputRequest
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a question of the call ``key``."""

    key: str
    message: Message
    about: Mapping[str, Any]


class RunCalls:
    """The calls of one run.

    ``finished`` are those that an earlier attempt of the run has made, by idempotency key, and
    ``reply`` is the answer to what one of that asked. A call that asks stops the run: no other
    begins, those under way come to their end, and then the run is made again when somebody has
    answered.
    """

    def __init__(
        self, finished: Mapping[str, CallFinished] | None = None, reply: Reply | None = None
    ) -> None:
        self.question: Question | None = None
        self._finished = finished or {}
        self._reply = reply
        self._under_way: set[str] = set()
        self._closing = False
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    def known(self, key: str) -> CallFinished | None:
        """How the call ended in an earlier attempt."""
        return self._finished.get(key)

    def reply_to(self, key: str) -> Reply | None:
        """The answer to the question of the call, once."""
        if self._reply is None or self._reply.key != key:
            return None
        reply, self._reply = self._reply, None
        return reply

    async def begin(self, key: str) -> None:
        """Return when the call may be made.

        Raises:
            RunEnded: the run is over.
        """
        while self.question is not None or self._closing:
            await self._wait()
        self._under_way.add(key)

    def end(self, key: str) -> None:
        """The call has ended."""
        self._under_way.discard(key)
        self._tell()

    async def ask(self, question: Question) -> None:
        """Have the run stopped with ``question``; returns never. A call that is given up before
        takes its question back.

        Raises:
            RunEnded: the run is over now.
        """
        self.end(question.key)
        while self.question is not None or self._closing:
            await self._wait()
        self.question = question
        self._tell()
        try:
            await self._over.wait()
        finally:
            if not self._closing:
                self.question = None
                self._tell()
        raise _ended()

    async def asked(self) -> Question:
        """The question, once there is one and no call is under way any more."""
        while self.question is None or self._under_way:
            await self._wait()
        return self.question

    def close(self) -> None:
        """The run is being ended: no call begins any more, and none takes its question back."""
        self._closing = True

    def over(self) -> None:
        """The run has ended: nobody waits any longer."""
        self._closing = True
        self._over.set()
        self._tell()

    async def _wait(self) -> None:
        if self._over.is_set():
            raise _ended()
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _ended() -> RunEnded:
    return RunEnded("the run has ended: it can call nothing more")


class LogCallRecorder(CallRecorder):
    """Writes each call as two ``call`` events: ``{"type": "started", ...}`` and
    ``{"type": "finished", ...}``. A call of a run that is over is not written."""

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner

    async def known(self, grant: RunGrant, key: str) -> CallFinished | None:
        """What an earlier attempt of the run made of the call."""
        run = self._runner.run_of(grant)
        return run.calls.known(key) if run is not None and run.calls is not None else None

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        run = self._runner.run_of(grant)
        if run is not None and run.calls is not None:
            await run.calls.begin(call.key or call.call_id)
        await self._record(grant, "started", call)

    async def finished(self, grant: RunGrant, call: CallFinished) -> None:
        try:
            await self._record(grant, "finished", call)
        finally:
            run = self._runner.run_of(grant)
            if run is not None and run.calls is not None:
                run.calls.end(call.key or call.call_id)

    async def _record(self, grant: RunGrant, kind: str, call: CallStarted | CallFinished) -> None:
        run = self._runner.run_of(grant)
        if run is not None:
            await run.record({"type": kind, **asdict(call)})


class TaskApprover(Approver):
    """Asks whoever follows the run's task: it waits for input, and shows the call as it would be
    made."""

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner

    async def approve(self, grant: RunGrant, call: PendingCall) -> None:
        """Return when the task's answer says yes to exactly this call."""
        run = self._runner.run_of(grant)
        if run is None or run.calls is None:
            raise ApprovalNeeded(call.reason)
        reply = run.calls.reply_to(call.key)
        if reply is None:
            await run.calls.ask(Question(call.key, _request(call)))
        else:
            _check_approved(call, reply.message)


async def finished_calls(
    log: EventLog, principal: Principal, task_id: str
) -> dict[str, CallFinished]:
    """The calls of a task that were made to their end, by idempotency key."""
    found: dict[str, CallFinished] = {}
    kinds: tuple[Kind, ...] = ("call",)
    after = 0
    while events := await log.read(principal, task_id, after, kinds=kinds):
        for event in events:
            if event.body["type"] == "finished":
                call = CallFinished(**{k: v for k, v in event.body.items() if k != "type"})
                if call.key and call.error_type not in _UNFINISHED:
                    found[call.key] = call
        after = events[-1].seq
    return found


def _request(call: PendingCall) -> InputRequest:
    return InputRequest(
        request_id=f"approve-{call.call_id}",
        prompt=f"May this call be made?\n{call}\n{call.reason} Answer yes or no.",
        answer_schema={"type": "boolean"},
        request_kind="approval",
        call=ToolCall(call_id=call.call_id, name=call.name, arguments=dict(call.arguments)),
    )


def _check_approved(call: PendingCall, message: Message) -> None:
    given = answer(message)
    if not approves(given):
        raise ToolRefused(
            f"{call.name}: the call was not approved; the answer was {str(given)[:500]!r}. Do not "
            "make it again without being told to"
        )
