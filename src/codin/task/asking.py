"""Agents' runs that can be made again: because a call of theirs asked something, or because the
process that ran them has ended.

Nothing is held while a task waits for its answer, and any process can go on with it. The run that
is made again does the same as before: models' answers and finished calls come from the record, and
what has been said is not said again. So the agent comes to where it was.
"""

from __future__ import annotations

import asyncio
from typing import Any

from codin.agent.events import AgentEvent, EndEvent, InputRequest
from codin.model.record import ModelRecord
from codin.task._before import Before, attempts_before
from codin.task._paused import Kept, Pause
from codin.task._run_calls import Question, RunCalls
from codin.task._stopping import stopped
from codin.task._told import Told
from codin.task.log.base import EventLog
from codin.task.work import AgentWork, Run


class AskingWork(AgentWork):
    """A task done by an agent whose tool calls may ask, and whose runs may be made again."""

    def __init__(self, *given: Any, log: EventLog, record: ModelRecord) -> None:
        super().__init__(*given)
        self._log = log
        self._record = record
        self._said = Told()
        self._left = False

    async def perform(self, run: Run) -> EndEvent:
        before = await self.recall(run)
        calls = run.calls = RunCalls(before.finished, before.open, run.reply)
        self._record.open(run.task_id, before.models, run.answered)
        try:
            end = await self._until_asked(run, calls)
        finally:
            self._record.close(run.task_id)
        if isinstance(end, Question):
            return await self._asked(run, end)
        for text in self._said.rest():
            await self.say(run, text)
        return end

    async def recall(self, run: Run, *, since: int = 0) -> Before:
        """Know what the attempts of ``run`` before this one came to, or what happened ``since`` a
        place in the log before them."""
        before = Before()
        if run.beginning.again:
            since = since or run.beginning.turn
            before = await attempts_before(self._log, run.principal, run.task_id, since)
        self._said = Told(before.told)
        run.recall(self._said.texts)
        return before

    async def hear(self, run: Run, event: AgentEvent) -> None:
        if self._left or run.lost:
            return  # what it says of its being ended is nobody's
        new = self._said.new(event)
        if new is not None:
            await super().hear(run, new)

    async def _until_asked(self, run: Run, calls: RunCalls) -> EndEvent | Question:
        """Have the agent work until it ends or one of its calls asks; its run has ended then."""
        working = asyncio.create_task(super().perform(run))
        asking = asyncio.create_task(calls.asked())
        try:
            await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
            self._left = not working.done()
            return asking.result() if self._left else working.result()
        finally:
            asking.cancel()
            calls.close(left=self._left)
            await stopped(working, run.task_id, calls.over)
            calls.over()

    async def _asked(self, run: Run, question: Question) -> InputRequest:
        await run.keep(Kept(pause=Pause(question.key)))
        return question.request
