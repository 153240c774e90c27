"""Runs tasks: from the first event in the log to the one that ends it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from codin.agent.a2a import EventEncoder, text_message
from codin.agent.events import AgentEvent, Canceled, EndEvent, Failed
from codin.errors import NotFoundError
from codin.ids import new_id
from codin.security import ForbiddenError, Principal, RunGrant, Scope
from codin.task._active import ActiveRun
from codin.task._beginnings import Beginnings, Drive
from codin.task._entries import repeated, submitted, working
from codin.task._paused import kept_with
from codin.task._requests import check_answer
from codin.task._run_calls import Reply
from codin.task._watch import Watch
from codin.task.beginning import Beginning, first, last_beginning, message_at
from codin.task.conversation import (
    Conversation,
    ForgivingConversation,
    NoConversation,
    answered,
    taken_over,
)
from codin.task.errors import FencedError, LogError, StaleAnswer, TaskEnded, TaskError
from codin.task.journal import Journal
from codin.task.log.base import Entry, EventLog, Lease, NewTask, TaskRow
from codin.task.log.follow import follow
from codin.task.owner import is_dead, new_owner
from codin.task.projection import Json, to_json
from codin.task.recovery import Recovery, interrupted, past_deadline
from codin.task.scheduler import RunLimits, Scheduler
from codin.task.states import INTERRUPTED, SUBMITTED, TERMINAL
from codin.task.urgency import Urgency, urgency_of
from codin.task.work import ParentTask, Run, Work

if TYPE_CHECKING:
    from a2a.types import Message

LEASE_SECONDS = 30.0
PULSE_SECONDS = 2.0
GRACE_SECONDS = 5.0

_log = logging.getLogger(__name__)


Works = Callable[[Principal, str], Work]
"""Gives what does the tasks of an agent, by its id. Raises ``NotFoundError`` where there is none
that the principal may use."""


async def _nothing(principal: Principal, goal_id: str) -> None:
    return None


def _no_works(principal: Principal, agent_id: str) -> Work:
    raise NotFoundError(f"there is no agent {agent_id!r} here")


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
    work, and those that only end their processes, are ended as failed.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        conversation: Conversation | None = None,
        root_ended: Callable[[Principal, str], Awaitable[None]] = _nothing,
        owner: str | None = None,
        lease_seconds: float = LEASE_SECONDS,
        pulse_seconds: float = PULSE_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        idempotent: bool = True,
        works: Works = _no_works,
        limits: RunLimits | None = None,
        takes_over: bool = True,
    ) -> None:
        self.log = log
        self.idempotent = idempotent
        self.works = works
        self.owner = owner or new_owner()
        self._conversation = ForgivingConversation(conversation or NoConversation())
        self._root_ended = root_ended
        self._lease_seconds = lease_seconds
        self._pulse_seconds = pulse_seconds
        self._grace_seconds = grace_seconds
        self._runs: dict[str, ActiveRun] = {}
        self._scheduler = Scheduler(limits)
        self._recovery = Recovery(
            log,
            self._take_up,
            owner=self.owner,
            lease_seconds=lease_seconds,
            scheduler=self._scheduler,
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
        self._takes_over = takes_over
        self._beginnings = Beginnings()
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
        said = to_json(message)
        goal_id = parent.goal_id if parent else task_id
        parent_id = parent.task_id if parent else None
        urgency = parent.urgency if parent else urgency_of(message)
        new = NewTask(
            *(task_id, context_id, work.id, goal_id, parent_id, given),
            lane="below" if parent and parent.lane != "goal" else work.lane,
            priority=urgency.priority,
            deadline=urgency.deadline,
        )
        now = self._begins_now(principal, new)
        beginning = first(1, principal, await self._past(principal, new, parent))
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
            self._scheduler.queued = True
            self._watch.start()
            return task_id, _not_here
        run = self._run(new, lease, message, beginning)
        return task_id, self._begin(run, work, said, lease, new)

    def _begins_now(self, principal: Principal, new: NewTask) -> bool:
        """Whether there is room for a new task, and nothing waits that came before it."""
        waiting = self._scheduler.queued and new.lane == "agent"
        return not waiting and self._scheduler.admits(new.lane, principal.tenant, new.agent_id)

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
        new = _new(row)
        with self._doubting(principal, row.task_id):
            lease = await self._claim(row)
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
            last = await self.log.append(lease, entries)
        return last, await self._go_on(row, work, beginning, lease, said)

    async def _take_up(self, row: TaskRow, lease: Lease) -> Failed | None:
        """Begin the run of a task that nobody runs, for the first time or again; gives the task's
        end where it cannot be."""
        if row.deadline is not None and time.time() >= row.deadline:
            return past_deadline()
        beginning = await last_beginning(self.log, row)
        if beginning is None:
            return interrupted("it does not say what it was begun with")
        if row.parent_id is not None and (await self.log.task(row.principal, row.parent_id)).ended:
            return interrupted("the task that it was a step of has ended")
        if row.state != SUBMITTED:
            beginning = beginning.repeated(row)
        if beginning.hopeless:
            return interrupted(
                f"it was begun {beginning.attempt - 1} times, and got no further the last times"
            )
        try:
            work = self.works(beginning.principal, row.agent_id)
        except (NotFoundError, ForbiddenError) as error:
            return interrupted(str(error))
        await self._beginnings.whole(self._taking_up(row, work, beginning, lease))
        return None

    async def _taking_up(
        self, row: TaskRow, work: Work, beginning: Beginning, lease: Lease
    ) -> tuple[None, Drive]:
        self._check_open()
        message = await message_at(self.log, row, beginning.answer or beginning.turn)
        if beginning.again:
            entries = [repeated(row, beginning.attempt), beginning.entry()]
        else:
            entries = [working(message)]
        await self.log.append(lease, entries)
        return None, await self._go_on(row, work, beginning, lease, to_json(message))

    async def _go_on(
        self, row: TaskRow, work: Work, beginning: Beginning, lease: Lease, said: Json
    ) -> Drive:
        """Begin a run of a task that had one before; ``said`` is the latest message to it."""
        message = await message_at(self.log, row, beginning.turn)
        message.task_id, message.context_id = row.task_id, row.context_id
        reply = None
        if beginning.asked:
            answer = await message_at(self.log, row, beginning.answer)
            reply = Reply(beginning.asked, answer, beginning.answer)
        state = (await kept_with(self.log, row, beginning.turn)).state
        run = self._run(_new(row), lease, message, beginning, state=state, reply=reply)
        return self._begin(run, work, said, lease, _new(row))

    async def cancel(self, principal: Principal, task_id: str, reason: str = "") -> TaskRow:
        """Stop a task, in whatever process it runs, and give how it stands once that is logged.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over already.
        """
        row = await self.log.task(principal, task_id)
        if row.ended:
            raise TaskEnded(f"task {task_id} has ended ({row.state}): there is nothing to cancel")
        reason = reason or "canceled by its user"
        active = self._runs.get(task_id)
        if active is not None:
            await active.cancel(reason)
        else:
            await self._cancel_elsewhere(principal, row, reason)
        row = await self.log.task(principal, task_id)
        if row.interrupted:  # its run ended with a question just then
            await self._cancel_elsewhere(principal, row, reason)
        return await self.log.task(principal, task_id)

    async def pause(self, principal: Principal, task_id: str) -> TaskRow:
        """Have a task, and all that was begun for it, go no further until it is resumed, in
        whatever process it runs; what it is doing is made again then, as after a crash.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over already.
        """
        row = await self.log.request_pause(principal, task_id, paused=True)
        here = [one for one in self._runs.values() if task_id in (one.run.task_id, one.run.goal_id)]
        await asyncio.gather(*(active.pause() for active in here))
        return row

    async def unpause(self, principal: Principal, task_id: str) -> TaskRow:
        """Have a paused task go on.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
        """
        row = await self.log.request_pause(principal, task_id, paused=False)
        self._watch.start()
        self._watch.nudge()
        return row

    async def take(self, principal: Principal, task_id: str) -> bool:
        """Have a task that nobody runs, because it is paused or was left behind, go on here, with
        what was begun for it; whether it does, and is not in the hands of another process.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
        """
        row = await self.unpause(principal, task_id)
        below = [
            one
            for one in await self.log.unfinished()
            if one.goal_id == task_id != one.task_id and one.principal == row.principal
        ]
        for one in below:
            await self._recovery.take(one)
        return not row.interrupted and await self._recovery.take(row)

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
        await self._beginnings.settled()
        runs = list(self._runs.values())
        if hand_over:
            await asyncio.gather(*(run.leave() for run in runs), return_exceptions=True)
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

    async def _claim(self, row: TaskRow) -> Lease | None:
        """The task's lease, unless a process that lives has it."""
        dead = row.owner if row.owner is not None and is_dead(row.owner) else None
        return await self.log.claim(
            row.principal, row.task_id, owner=self.owner, ttl=self._lease_seconds, dead=dead
        )

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

    async def _end_below(self, goal_id: str) -> None:
        """Stop what a goal began and did not end itself."""
        left = [
            active
            for task_id, active in self._runs.items()
            if active.run.goal_id == goal_id and task_id != goal_id
        ]
        await asyncio.gather(*(active.cancel("its goal has ended") for active in left))

    async def _past(
        self, principal: Principal, new: NewTask, parent: ParentTask | None
    ) -> tuple[Message, ...]:
        """What was said before in a task's conversation."""
        scope = Scope.of(principal, agent=new.agent_id, session=new.context_id)
        # a context that was made for this task has no past
        own = await self._conversation.history(scope) if new.context_given else ()
        return taken_over(parent.history, own, new.task_id) if parent else tuple(own)

    def _run(
        self, new: NewTask, lease: Lease, message: Message, beginning: Beginning, **more: Any
    ) -> Run:
        return Run(
            task_id=new.task_id,
            context_id=new.context_id,
            goal_id=new.goal_id,
            message=message,
            history=beginning.messages(),
            beginning=beginning,
            lane=new.lane,
            urgency=Urgency(new.priority, new.deadline),
            journal=Journal(self.log, lease, EventEncoder(new.task_id, new.context_id)),
            **more,
        )

    def _check_open(self) -> None:
        if self._closing:
            raise TaskError("the platform is being stopped and takes no new task")

    def _begin(self, run: Run, work: Work, said: Json, lease: Lease, new: NewTask) -> Drive:
        """Have the run known from now on; what is given drives it."""
        # Work that dispatches has to wait for the work that it stops.
        grace = self._grace_seconds * (3 if new.parent_id is None else 1)
        active = ActiveRun(run, work, grace_seconds=grace)
        driver = asyncio.current_task()
        assert driver is not None
        active.driver = driver
        self._runs[new.task_id] = active
        self._scheduler.begin(new.task_id, new.lane, run.principal.tenant, new.agent_id)
        self._watch.start()
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
            _log.warning("%s", error)
        except Exception:
            _log.exception("the run of task %s could not be brought to its end", new.task_id)
            self._watch.doubt(active.run.principal, new.task_id)
        finally:
            if not stopped:
                with suppress(TaskError):
                    await self.log.release(lease)
            if self._runs.get(new.task_id) is active:  # it may go on already
                del self._runs[new.task_id]
                self._scheduler.end(new.task_id)
                if self._scheduler.queued:
                    self._watch.nudge()
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

    async def _cancel_elsewhere(self, principal: Principal, row: TaskRow, reason: str) -> None:
        lease = await self._claim(row)
        if lease is not None:
            await self._recovery.end(row, lease, Canceled(message=reason))
            return
        await self.log.request_cancel(principal, row.task_id)
        with suppress(TimeoutError):
            # Should its process be dead, whoever takes it over cancels it.
            async with asyncio.timeout(self._lease_seconds + 2 * self._pulse_seconds):
                async for _ in follow(
                    self.log, principal, row.task_id, until=TERMINAL | INTERRUPTED
                ):
                    pass


def _new(row: TaskRow) -> NewTask:
    return NewTask(
        *(row.task_id, row.context_id, row.agent_id, row.goal_id, row.parent_id),
        lane=row.lane,
        priority=row.priority,
        deadline=row.deadline,
    )


async def _not_here() -> None:
    """Drive nothing: another process may, or this one when it has room."""
