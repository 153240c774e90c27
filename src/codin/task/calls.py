"""Records of tool calls, in the log of the task whose run made them."""

from __future__ import annotations

from dataclasses import asdict

from codin.security import RunGrant
from codin.task.runner import TaskRunner
from codin.tool.invocation import CallFinished, CallRecorder, CallStarted


class LogCallRecorder(CallRecorder):
    """Writes each call as two ``call`` events: ``{"type": "started", ...}`` and
    ``{"type": "finished", ...}``. A call of a run that is over is not written."""

    def __init__(self, runner: TaskRunner) -> None:
        self._runner = runner

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        await self._record(grant, "started", call)

    async def finished(self, grant: RunGrant, call: CallFinished) -> None:
        await self._record(grant, "finished", call)

    async def _record(self, grant: RunGrant, kind: str, call: CallStarted | CallFinished) -> None:
        run = self._runner.run_of(grant)
        if run is not None:
            await run.record({"type": kind, **asdict(call)})
