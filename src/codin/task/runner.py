"""Runs tasks: from the first event in the log to the one that ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from codin.agent.events import AgentEvent, Failed
from codin.ids import new_id
from codin.security import Principal, RunGrant, Scope
from codin.task._beginnings import Beginnings, Drive
from codin.task._entries import submitted, working
from codin.task._paused import kept_with
from codin.task._requests import check_answer
from codin.task._runs import RootEnded, Runs, new_of
from codin.task._taking_up import Rights, TakingUp, Works, as_begun, no_works
from codin.task._watch import Watch
from codin.task.beginning import first, last_beginning
from codin.task.control import Control
from codin.task.conversation import (
    Conversation,
    ForgivingConversation,
    NoConversation,
    taken_over,
)
from codin.task.errors import LogError, StaleAnswer, TaskError
from codin.task.log.base import EventLog
from codin.task.log.entries import Entry
from codin.task.log.leases import Lease
from codin.task.log.rows import NewTask, TaskRow
from codin.task.owner import new_owner
from codin.task.projection import to_json
from codin.task.recalling import drop_recalled
from codin.task.recovery import Recovery
from codin.task.remembering import NothingRemembered, Remembering
from codin.task.scheduler import RunLimits, Scheduler
from codin.task.urgency import urgency_of
from codin.task.work import ParentTask, Run, Work

if TYPE_CHECKING:
    from a2a.types import Message

LEASE_SECONDS = 30.0
PULSE_SECONDS = 2.0
GRACE_SECONDS = 5.0

_log = logging.getLogger(__name__)


async def _nothing(principal: Principal, goal_id: str) -> None:
    return None


class TaskRunner:
    """Runs the tasks of this process, each in an asyncio task of its own: a client that leaves
    changes nothing.

    ``root_ended`` is told when a task that is no step of another has ended or waits for input: what
    its runs shared can be let go. Other processes over the same log may have runners too; each
    task has one owner, by its lease. ``idempotent`` says whether a message that comes again within
    a day makes no second task; off, who sends one twice has two.

    From ``recover`` on, or from its first task, until ``aclose``, it also goes on with the tasks
    that other processes have left behind, within ``lease_seconds`` of their last sign of life, by
    the work that ``works`` gives; unless it ``takes_over`` nothing. Those for which there is no
    work, and those that only end their processes, are ended as failed; each goes on with what
    ``rights`` leaves of those with which it was begun.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        conversation: Conversation | None = None,
        remembering: Remembering | None = None,
        root_ended: RootEnded = _nothing,
        lease_seconds: float = LEASE_SECONDS,
        pulse_seconds: float = PULSE_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        idempotent: bool = True,
        works: Works = no_works,
        rights: Rights = as_begun,
        limits: RunLimits | None = None,
        takes_over: bool = True,
    ) -> None:
        self.log = log
        self.idempotent = idempotent
        self.owner = new_owner()
        self._conversation = ForgivingConversation(conversation or NoConversation())
        self._remembering = remembering or NothingRemembered()
        self._lease_seconds = lease_seconds
        self._pulse_seconds = pulse_seconds
        limits = limits or RunLimits()
        self.scheduler = Scheduler(limits)
        self._runs = Runs(
            log,
            self.scheduler,
            self._conversation,
            self._remembering,
            root_ended=root_ended,
            grace_seconds=grace_seconds,
        )
        self._beginnings = Beginnings()
        self.taking_up = TakingUp(
            *(log, self._runs, self._beginnings, works), rights=rights, stalls=limits.stalls
        )
        self._recovery = Recovery(
            log,
            self._take_up,
            owner=self.owner,
            lease_seconds=lease_seconds,
            scheduler=self.scheduler,
        )
        self._watch = Watch(
            log,
            self._recovery,
            self._runs,
            owner=self.owner,
            lease_seconds=lease_seconds,
            pulse_seconds=pulse_seconds,
            takes_over=takes_over,
        )
        self._runs.begun, self._runs.room = self._watch.start, self._watch.nudge
        self._runs.doubtful = self._watch.doubt
        self.control = Control(
            log,
            self._runs,
            self._recovery,
            self._watch,
            patience_seconds=lease_seconds + 2 * pulse_seconds,
        )
        """Cancels, pauses and holds tasks."""
        self._takes_over = takes_over
        self._closing = False

    async def start(
        self,
        principal: Principal,
        work: Work,
        message: Message,
        *,
        context_id: str | None = None,
        parent: ParentTask | None = None,
    ) -> str:
        """Create a task for ``message``, begin ``work`` on it, and give its id once the log has it.

        Raises:
            TaskRepeated: the message made a task before; the error has its id.
            TaskError: the runner is closing, or the log does not take it.
        """
        return await self._beginnings.whole(
            self._start(principal, work, message, context_id=context_id, parent=parent)
        )

    async def _start(
        self,
        principal: Principal,
        work: Work,
        message: Message,
        *,
        context_id: str | None,
        parent: ParentTask | None,
    ) -> tuple[str, Drive]:
        self._check_open()
        task_id = new_id()
        given, context_id = bool(context_id), context_id or new_id()
        message.task_id, message.context_id = task_id, context_id
        await self._remembering.recall(principal, work.id, message, passed_on=parent is not None)
        said = to_json(message)
        goal_id = parent.goal_id if parent else task_id
        parent_id = parent.task_id if parent else None
        urgency = parent.urgency if parent else await urgency_of(message, self.log.now)
        new = NewTask(
            *(task_id, context_id, work.id, goal_id, parent_id, given),
            lane="below" if parent and parent.lane != "goal" else work.lane,
            priority=urgency.priority,
            deadline=urgency.deadline,
        )
        now = self._begins_now(principal, new)
        beginning = first(1, principal, await self._past(principal, new, parent))
        if not now:
            self.scheduler.wait()
        with self._doubting(principal, task_id):
            lease = await self.log.create(
                principal,
                new,
                submitted(message, said),
                *([working(message)] if now else []),
                beginning.entry(),
                owner=self.owner if now else None,
                ttl=self._lease_seconds,
                # a step that is sent again after a crash is the same
                dedupe=message.message_id if self.idempotent or parent is not None else None,
            )
        if not now:
            self.scheduler.wait()  # also to a look at the log that was under way
            self._watch.start()
            return task_id, _not_here
        run = self._runs.run(new, lease, message, beginning)
        return task_id, self._runs.begin(run, work, said, lease, new)

    def _begins_now(self, principal: Principal, new: NewTask) -> bool:
        """Whether there is room for a new task, and nothing waits that came before it."""
        waiting = self.scheduler.queued and new.lane == "agent"
        return not waiting and self.scheduler.admits(new.lane, principal.tenant, new.agent_id)

    async def resume(
        self,
        principal: Principal,
        work: Work,
        row: TaskRow,
        message: Message,
        *,
        parent: ParentTask | None = None,
    ) -> int:
        """Go on with an interrupted task now that ``message`` answers it; gives the seq
        after which its news are.

        Raises:
            StaleAnswer: ``message`` answers something else than what is asked.
            TaskError: it is not waiting any more.
        """
        return await self._beginnings.whole(self._resume(principal, work, row, message, parent))

    async def _resume(
        self,
        principal: Principal,
        work: Work,
        row: TaskRow,
        message: Message,
        parent: ParentTask | None,
    ) -> tuple[int, Drive]:
        self._check_open()
        await self.wait(row.task_id)  # the run that asked may still be letting go of what it used
        message.task_id, message.context_id = row.task_id, row.context_id
        drop_recalled(message)
        new = new_of(row)
        with self._doubting(principal, row.task_id):
            lease = await self._recovery.claim(row)
            if lease is None:
                raise TaskError(f"task {row.task_id} does not wait for an answer any more")
            seq = (await self._check_answer(principal, lease, message)).last_seq + 1
            kept = await kept_with(self.log, row, seq)
            before = await last_beginning(self.log, row) if kept.pause else None
            if kept.pause and before:
                beginning = before.answered(principal, kept.pause.key, seq)
            else:
                beginning = first(seq, principal, await self._past(principal, new, parent))
            # In one transaction: who reads the answer must not find the task still waiting for it.
            said = to_json(message)
            entries = [Entry("message", said), working(message), beginning.entry()]
            await self.log.append(lease, entries)
        return seq + 1, await self._runs.go_on(row, work, beginning, lease, said)

    async def wait(self, task_id: str) -> None:
        """Return when this process does not run the task (any more)."""
        active = self._runs.get(task_id)
        if active is not None:
            await asyncio.wait([active.driver])

    async def emit(self, grant: RunGrant, event: AgentEvent) -> None:
        """Say an event in the run of ``grant``, such as a tool's live output. What comes after the
        run's end is dropped."""
        active = self._runs.get(grant.task_id)
        if active is not None and active.run.principal == grant.principal:
            await active.run.emit(event)

    def run_of(self, grant: RunGrant) -> Run | None:
        """The run of ``grant`` while it is active here."""
        return self.active(grant.principal, grant.task_id)

    def active(self, principal: Principal, task_id: str) -> Run | None:
        """The run of a task of ``principal`` while it is active here."""
        active = self._runs.get(task_id)
        return active.run if active and active.run.principal == principal else None

    async def recover(self) -> list[str]:
        """Go on with the tasks that dead processes have left behind, and with those that others
        leave until ``aclose``; gives the ids of those that were taken over now."""
        self._check_open()
        self._watch.start()
        if not self._takes_over:
            return []
        return [*await self._recovery.dead(), *await self._recovery.lost()]

    async def aclose(
        self, reason: str = "the platform was stopped", *, hand_over: bool = False
    ) -> None:
        """Stop every run, and leave nothing running: each is canceled, for ``reason``, and that is
        logged; with ``hand_over`` it is left for the next process over the log to go on with."""
        self._closing = True
        await self._watch.take_no_more()
        await self._beginnings.settled()
        runs = list(self._runs)
        if hand_over:
            await asyncio.gather(*(run.hand_over() for run in runs), return_exceptions=True)
        else:
            await asyncio.gather(*(run.cancel(reason) for run in runs), return_exceptions=True)
        await self._watch.stop()

    @contextmanager
    def _doubting(self, principal: Principal, task_id: str) -> Iterator[None]:
        """A write that fails may have been made all the same: then nobody would run the task."""
        self._watch.trust(task_id)
        try:
            yield
        except LogError:
            self._watch.doubt(principal, task_id)
            raise

    async def _check_answer(self, principal: Principal, lease: Lease, message: Message) -> TaskRow:
        """How the task stands now that nobody else can answer: what is asked may be another thing
        than before."""
        row = await self.log.task(principal, lease.task_id)
        try:
            check_answer(row, message)
        except StaleAnswer:
            await self.log.release(lease)
            raise
        return row

    async def _past(
        self, principal: Principal, new: NewTask, parent: ParentTask | None
    ) -> tuple[Message, ...]:
        """What was said before in a task's conversation."""
        scope = Scope.of(principal, agent=new.agent_id, session=new.context_id)
        # a context that was made for this task has no past
        own = await self._conversation.history(scope) if new.context_given else ()
        return taken_over(parent.history, own, new.task_id) if parent else tuple(own)

    async def _take_up(self, row: TaskRow, lease: Lease) -> Failed | None:
        self._check_open()
        return await self.taking_up.take_up(row, lease)

    def _check_open(self) -> None:
        if self._closing:
            raise TaskError("the platform is being stopped and takes no new task")


async def _not_here() -> None:
    """Drive nothing: another process may, or this one when it has room."""
