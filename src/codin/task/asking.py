"""Runs whose tool calls ask something: ended with the question, and made again with the answer.

Nothing is held while a task waits for its answer, and any process can go on with it. The run that
is made again does the same as before: models' answers and finished calls come from the record, and
what has been said is not said again. So the agent comes to the call that asked, which now has its
answer.
"""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from codin.agent.events import AgentEvent, EndEvent, InputRequest
from codin.model.record import ModelRecord
from codin.task._paused import Kept, Pause
from codin.task._run_calls import Question, Reply, RunCalls
from codin.task._stopping import stopped
from codin.task._told import Told
from codin.task.calls import finished_calls
from codin.task.log.base import EventLog
from codin.task.projection import to_json
from codin.task.work import AgentWork, Run

if TYPE_CHECKING:
    from a2a.types import Message


class AskingWork(AgentWork):
    """A task done by an agent whose tool calls may ask."""

    def __init__(self, *given: Any, log: EventLog, record: ModelRecord) -> None:
        super().__init__(*given)
        self._log = log
        self._record = record
        self._said = Told()
        self._left = False

    async def perform(self, run: Run) -> EndEvent:
        pause = run.kept.pause
        calls = run.calls = await self._begun_again(run, pause) if pause else RunCalls()
        self._said = Told(pause.told if pause else None)
        run.recall(self._said.texts)
        self._record.open(run.task_id, pause.models if pause else None)
        try:
            end = await self._until_asked(run, calls)
        finally:
            models = self._record.close(run.task_id)
        if isinstance(end, Question):
            return await self._asked(run, end, models)
        for text in self._said.rest():
            await self.say(run, text)
        return end

    async def hear(self, run: Run, event: AgentEvent) -> None:
        if self._left:
            return  # what it says of its being ended is nobody's
        new = self._said.new(event)
        if new is not None:
            await super().hear(run, new)

    async def _begun_again(self, run: Run, pause: Pause) -> RunCalls:
        """Set ``run`` to what it was when it was begun; its message was the answer."""
        reply = Reply(pause.key, run.message)
        first = _message(pause.message)
        before = takewhile(lambda said: said.message_id != first.message_id, run.history)
        run.message, run.history = first, tuple(before)
        run.turn, run.state = pause.turn, pause.state
        finished = await finished_calls(self._log, run.principal, run.task_id)
        return RunCalls(finished, reply)

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

    async def _asked(self, run: Run, question: Question, models: dict[str, Any]) -> InputRequest:
        pause = Pause(
            question.key,
            to_json(run.message),
            run.turn,
            run.state,
            self._said.to_json(),
            models,
        )
        await run.keep(Kept(pause=pause))
        return question.request


def _message(body: dict[str, Any]) -> Message:
    from a2a.types import Message
    from google.protobuf.json_format import ParseDict

    message = Message()
    ParseDict(body, message)
    return message
