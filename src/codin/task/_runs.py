"""The runs of a process: begun, driven to their ends, and let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from codin.agent.a2a import EventEncoder, text_message
from codin.agent.events import EndEvent
from codin.security import Principal, Scope
from codin.task._active import ActiveRun
from codin.task._beginnings import Drive
from codin.task._pace import Pace
from codin.task._paused import kept_with
from codin.task._run_calls import Reply
from codin.task.beginning import Beginning, message_at
from codin.task.conversation import Conversation, answered
from codin.task.errors import FencedError, TaskError, is_away
from codin.task.journal import Journal
from codin.task.log.base import EventLog
from codin.task.log.leases import Lease
from codin.task.log.rows import NewTask, TaskRow
from codin.task.projection import Json
from codin.task.recalling import with_recalled
from codin.task.remembering import Remembering
from codin.task.scheduler import Scheduler
from codin.task.urgency import Urgency
from codin.task.work import Run, Work

if TYPE_CHECKING:
    from a2a.types import Message

RootEnded = Callable[[Principal, str], Awaitable[None]]
"""Is told whose task, which is no step of another, has no run any more, and which task."""

_log = logging.getLogger(__name__)


class Runs:
    """The runs of this process by their tasks' ids. ``begun`` is told when one begins, ``doubtful``
    of one whose end the log did not take, and ``room`` when one has ended for which others wait.

    The conversation that its runs were about is kept when they end, and what ``remembering``
    makes of it.
    """

    def __init__(
        self,
        log: EventLog,
        scheduler: Scheduler,
        conversation: Conversation,
        remembering: Remembering,
        *,
        root_ended: RootEnded,
        grace_seconds: float,
    ) -> None:
        self._log = log
        self._scheduler = scheduler
        self._conversation = conversation
        self._remembering = remembering
        self._root_ended = root_ended
        self._grace_seconds = grace_seconds
        self._active: dict[str, ActiveRun] = {}
        self._pace = Pace()
        self.begun: Callable[[], None] = _nothing
        self.room: Callable[[], None] = _nothing
        self.doubtful: Callable[[Principal, str], None] = _nothing

    def __iter__(self) -> Iterator[ActiveRun]:
        return iter(list(self._active.values()))

    def __len__(self) -> int:
        return len(self._active)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._active

    def get(self, task_id: str) -> ActiveRun | None:
        """The run of a task, while there is one."""
        return self._active.get(task_id)

    def run(
        self, new: NewTask, lease: Lease, message: Message, beginning: Beginning, **more: Any
    ) -> Run:
        """A run of the task ``new``, which ``lease`` holds."""
        return Run(
            task_id=new.task_id,
            context_id=new.context_id,
            goal_id=new.goal_id,
            message=message,
            history=with_recalled(beginning.messages(), message),
            beginning=beginning,
            lane=new.lane,
            urgency=Urgency(new.priority, new.deadline),
            journal=Journal(
                self._log, lease, EventEncoder(new.task_id, new.context_id), pace=self._pace
            ),
            **more,
        )

    def begin(self, run: Run, work: Work, said: Json, lease: Lease, new: NewTask) -> Drive:
        """Have the run known from now on; what is given drives it. ``said`` is the latest message
        to its task."""
        # Work that dispatches has to wait for the work that it stops.
        grace = self._grace_seconds * (3 if new.parent_id is None else 1)
        active = ActiveRun(run, work, grace_seconds=grace, clock=self._log.now)
        driver = asyncio.current_task()
        assert driver is not None
        active.driver = driver
        self._active[new.task_id] = active
        self._scheduler.begin(new.task_id, new.lane, run.principal.tenant, new.agent_id)
        self.begun()
        scope = Scope.of(run.principal, agent=new.agent_id, session=new.context_id)
        return partial(self._drive, active, said, scope, lease, new)

    async def _drive(
        self, active: ActiveRun, said: Json, scope: Scope, lease: Lease, new: NewTask
    ) -> None:
        stopped = False
        try:
            await active.drive(partial(self._before_end, active.run, said, scope))
            stopped = True  # the lease was given back with the last event
        except FencedError as error:
            _log.log(logging.DEBUG if active.left else logging.WARNING, "%s", error)
        except Exception as error:
            told = "the run of task %s could not be brought to its end, and will be begun again: %s"
            _log.warning(told, new.task_id, error, exc_info=not is_away(error))
            self.doubtful(active.run.principal, new.task_id)
        finally:
            if not stopped:
                with suppress(TaskError):
                    await self._log.release(lease, handed_over=active.left)
            if self._active.get(new.task_id) is active:  # it may go on already
                del self._active[new.task_id]
                self._scheduler.end(new.task_id)
                if self._scheduler.queued:
                    self.room()
            if new.parent_id is None:
                await self._let_go(active.run)

    async def _let_go(self, run: Run) -> None:
        try:
            await self._root_ended(run.principal, run.goal_id)
        except Exception:
            _log.exception("what task %s used could not be let go", run.task_id)

    async def _before_end(self, run: Run, said: Json, scope: Scope, end: EndEvent) -> None:
        if run.goal_id == run.task_id:
            await self._end_below(run.goal_id)
        # before the end is seen: whoever goes on with the conversation must find it there
        answer = answered(run.text, end)
        ids = {"context_id": run.context_id, "task_id": run.task_id}
        reply = [text_message(answer, **ids)] if answer else []
        await self._conversation.append(scope, said, *reply)
        self._remembering.ended(run, scope, said, answer, end)

    async def _end_below(self, goal_id: str) -> None:
        """Stop what a goal began and did not end itself."""
        left = [one for one in self if one.run.goal_id == goal_id != one.run.task_id]
        await asyncio.gather(*(active.cancel("its goal has ended") for active in left))

    async def go_on(
        self, row: TaskRow, work: Work, beginning: Beginning, lease: Lease, said: Json
    ) -> Drive:
        """Begin a run of a task that had one before; ``said`` is the latest message to it."""
        message = await message_at(self._log, row, beginning.turn)
        message.task_id, message.context_id = row.task_id, row.context_id
        reply = None
        if beginning.asked:
            answer = await message_at(self._log, row, beginning.answer)
            reply = Reply(beginning.asked, answer, beginning.answer)
        state = (await kept_with(self._log, row, beginning.turn)).state
        run = self.run(new_of(row), lease, message, beginning, state=state, reply=reply)
        return self.begin(run, work, said, lease, new_of(row))


def new_of(row: TaskRow) -> NewTask:
    """What a task was created with, as far as runs need it."""
    return NewTask(
        *(row.task_id, row.context_id, row.agent_id, row.goal_id, row.parent_id),
        lane=row.lane,
        priority=row.priority,
        deadline=row.deadline,
    )


def _nothing(*_: object) -> None:
    """Tell nobody."""
