"""Runs tasks: from the first event in the log to the one that ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from codin.agent.a2a import EventEncoder, text_message
from codin.agent.events import AgentEvent, Canceled, EndEvent
from codin.ids import new_id
from codin.security import Principal, RunGrant, Scope
from codin.task._active import ActiveRun
from codin.task._beginnings import Beginnings, Drive
from codin.task._entries import submitted, working
from codin.task._paused import Kept, kept_with
from codin.task._requests import check_answer
from codin.task._watch import Watch
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
from codin.task.recovery import Recovery
from codin.task.states import INTERRUPTED, TERMINAL
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

    From ``recover`` on, or from its first task, until ``aclose``, it also ends the tasks that other
    processes have left behind, within ``lease_seconds`` of their last sign of life.
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
    ) -> None:
        self.log = log
        self.idempotent = idempotent
        self.owner = owner or new_owner()
        self._conversation = ForgivingConversation(conversation or NoConversation())
        self._root_ended = root_ended
        self._lease_seconds = lease_seconds
        self._pulse_seconds = pulse_seconds
        self._grace_seconds = grace_seconds
        self._runs: dict[str, ActiveRun] = {}
        self._recovery = Recovery(log, lease_seconds=lease_seconds)
        self._watch = Watch(
            log,
            self._recovery,
            self._runs,
            owner=self.owner,
            lease_seconds=lease_seconds,
            pulse_seconds=pulse_seconds,
        )
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
        new = NewTask(task_id, context_id, work.id, goal_id, parent_id, given)
        with self._doubting(principal, task_id):
            lease = await self.log.create(
                principal,
                new,
                submitted(message, said),
                working(message),
                owner=self.owner,
                ttl=self._lease_seconds,
                dedupe=message.message_id if self.idempotent and parent is None else None,
            )
        journal = Journal(self.log, lease, EventEncoder(task_id, context_id))
        return task_id, await self._begin(
            principal, work, message, said, parent, journal=journal, lease=lease, new=new
        )

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
        with self._doubting(principal, row.task_id):
            lease = await self._claim(row)
            if lease is None:
                raise TaskError(f"task {row.task_id} does not wait for an answer any more")
            await self._check_answer(principal, lease, message)
            # In one transaction: who reads the answer must not find the task still waiting for it.
            said = to_json(message)
            answer = Entry("message", said)
            seq = await self.log.append(lease, [answer, working(message)])
        journal = Journal(self.log, lease, EventEncoder(row.task_id, row.context_id))
        new = NewTask(row.task_id, row.context_id, row.agent_id, row.goal_id, row.parent_id)
        return seq, await self._begin(
            principal,
            work,
            message,
            said,
            parent,
            journal=journal,
            lease=lease,
            new=new,
            kept=await kept_with(self.log, row, seq),
            turn=seq,
        )

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
        """End the tasks that dead processes have left behind, and go on doing so until ``aclose``;
        gives the ids of those that were ended now."""
        self._check_open()
        self._watch.start()
        return [*await self._recovery.dead(), *await self._recovery.lost()]

    async def aclose(self, reason: str = "the platform was stopped") -> None:
        """Cancel every run, log it, and leave nothing running."""
        self._closing = True
        await self._beginnings.settled()
        runs = list(self._runs.values())
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

    async def _check_answer(self, principal: Principal, lease: Lease, message: Message) -> None:
        """Now that nobody else can answer: what is asked may be another thing than before."""
        try:
            check_answer(await self.log.task(principal, lease.task_id), message)
        except StaleAnswer:
            await self.log.release(lease)
            raise

    async def _end_below(self, goal_id: str) -> None:
        """Stop what a goal began and did not end itself."""
        left = [
            active
            for task_id, active in self._runs.items()
            if active.run.goal_id == goal_id and task_id != goal_id
        ]
        await asyncio.gather(*(active.cancel("its goal has ended") for active in left))

    def _check_open(self) -> None:
        if self._closing:
            raise TaskError("the platform is being stopped and takes no new task")

    async def _begin(
        self,
        principal: Principal,
        work: Work,
        message: Message,
        said: Json,
        parent: ParentTask | None,
        *,
        journal: Journal,
        lease: Lease,
        new: NewTask,
        kept: Kept | None = None,
        turn: int = 1,
    ) -> Drive:
        """Have the run known from now on; what is given drives it."""
        scope = Scope.of(principal, agent=new.agent_id, session=new.context_id)
        # a context that was made for this task has no past
        own = await self._conversation.history(scope) if new.context_given else ()
        run = Run(
            task_id=new.task_id,
            context_id=new.context_id,
            goal_id=new.goal_id,
            principal=principal,
            message=message,
            history=taken_over(parent.history, own, new.task_id) if parent else tuple(own),
            journal=journal,
            kept=kept,
            turn=turn,
        )
        # Work that dispatches has to wait for the work that it stops.
        grace = self._grace_seconds * (3 if new.parent_id is None else 1)
        active = ActiveRun(run, work, journal, grace_seconds=grace)
        driver = asyncio.current_task()
        assert driver is not None
        active.driver = driver
        self._runs[new.task_id] = active
        self._watch.start()
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
            await self._end_below(new.task_id)
        except Exception:
            _log.exception("the run of task %s could not be brought to its end", new.task_id)
            self._watch.doubt(active.run.principal, new.task_id)
            await self._end_below(new.task_id)
        finally:
            if not stopped:
                with suppress(TaskError):
                    await self.log.release(lease)
            if self._runs.get(new.task_id) is active:  # it may go on already
                del self._runs[new.task_id]
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
