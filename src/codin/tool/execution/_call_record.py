"""What is written down of one call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from codin.security import RunGrant
from codin.tool.base import ApprovalNeeded, RunEnded
from codin.tool.invocation import CallFinished, CallRecorder, CallStarted, ToolOutcome
from codin.tool.policies.approval import PendingCall


class CallRecord:
    """Tells ``recorder`` of a call. ``needs`` is set while the call waits for approval."""

    __slots__ = ("_begun", "_call", "_grant", "_recorder", "needs")

    def __init__(self, recorder: CallRecorder, grant: RunGrant, call: CallStarted) -> None:
        self._recorder = recorder
        self._grant = grant
        self._call = call
        self._begun = time.monotonic()
        self.needs: ApprovalNeeded | None = None

    def pending(self, arguments: Mapping[str, Any]) -> PendingCall:
        call = self._call
        return PendingCall(call.call_id, call.name, arguments, call.key, str(self.needs))

    async def started(self) -> None:
        await self._recorder.started(self._grant, self._call)

    async def ended(self, outcome: ToolOutcome) -> None:
        await self._finished(
            outcome.value,
            outcome.error_type,
            outcome.text if outcome.is_error else "",
            outcome.truncated,
        )

    async def canceled(self) -> None:
        if self.needs is not None:
            kind, said = type(self.needs).__name__, str(self.needs)
        else:
            kind, said = "Canceled", f"{self._call.name} was stopped: its run was canceled"
        with suppress(RunEnded):
            await self._finished(None, kind, said, False)

    async def _finished(self, value: Any, kind: str | None, said: str, truncated: bool) -> None:
        seconds = time.monotonic() - self._begun
        of = self._call.call_id, self._call.name, self._call.arguments
        ended = CallFinished(*of, seconds, value, kind, said, truncated, self._call.key)
        await self._recorder.finished(self._grant, ended)
