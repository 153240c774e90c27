"""The tool calls of runs: written into their tasks' logs, and stopped where one has to be answered
first."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from codin.agent.answers import answer, approves
from codin.agent.events import InputRequest, ToolCall
from codin.security import RunGrant
from codin.task._run_calls import Question
from codin.task.log._json import digest
from codin.tool.base import ApprovalNeeded, RunEnded, ToolRefused
from codin.tool.invocation import CallFinished, CallRecorder, CallStarted
from codin.tool.policies.approval import Approver, PendingCall

if TYPE_CHECKING:
    from a2a.types import Message

    from codin.task.runner import TaskRunner


class LogCallRecorder(CallRecorder):
    """Writes each call as two ``call`` events: ``{"type": "started", ...}`` and
    ``{"type": "finished", ...}``. A call that belongs to no run is not written; one of a run whose
    log takes no more is ``RunEnded``: what was not written down is not made, and what came of a
    call is not used."""

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner

    async def known(self, grant: RunGrant, key: str) -> CallFinished | None:
        """What an earlier attempt of the run made of the call."""
        run = self._runner.run_of(grant)
        return run.calls.known(key) if run is not None and run.calls is not None else None

    async def interrupted(self, grant: RunGrant, key: str) -> bool:
        """Whether an earlier attempt of the run may have made the call."""
        run = self._runner.run_of(grant)
        return run is not None and run.calls is not None and run.calls.interrupted(key)

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        run = self._runner.run_of(grant)
        if run is not None and run.calls is not None:
            await run.calls.begin(call.key or call.call_id)
        try:
            await self._record(grant, "started", call)
        except RunEnded:
            if run is not None and run.calls is not None:
                run.calls.end(call.key or call.call_id)
            raise

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
        elif grant.turn:
            raise RunEnded(f"the run of task {grant.task_id} is over: its calls are not recorded")


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


def _request(call: PendingCall) -> InputRequest:
    return InputRequest(
        request_id=f"approve-{digest(call.key)[:16]}",
        prompt=f"May this call be made?\n{call}\n{call.reason} Answer yes or no.",
        answer_schema={"type": "boolean"},
        request_kind="approval",
        reason=call.reason,
        call=ToolCall(call_id=call.call_id, name=call.name, arguments=dict(call.arguments)),
    )


def _check_approved(call: PendingCall, message: Message) -> None:
    given = answer(message)
    if not approves(given):
        raise ToolRefused(
            f"{call.name}: the call was not approved; the answer was {str(given)[:500]!r}. Do not "
            "make it again without being told to"
        )
