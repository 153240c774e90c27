"""The contract of the event log: the one truth about tasks.

Rules that every implementation keeps, and that ``codin.testing.log_conformance`` checks:

- The events of a task are numbered from 1 without gaps or repeats, in the order of commit.
- One call of ``append`` is one transaction: all of it is there, or nothing.
- A task's state is what its last status event says; nothing follows a terminal state.
- Only the holder of the task's current lease writes to it.
- A reader sees only what its principal owns: somebody else's task looks like an unknown one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from codin.security import Principal
from codin.task.log.entries import Adopt, Entry, Kind, LogEvent
from codin.task.log.leases import Lease, Pulse, Room
from codin.task.log.rows import NewTask, StepRow, TaskFilter, TaskPage, TaskRow
from codin.task.notify import Notifier

if TYPE_CHECKING:
    from codin.task.artifacts import Artifacts


READ_LIMIT = 500

WAITING = "*"
"""What ``notifier`` is told besides the ids of tasks, none of which is so: something waits for any
process that has room."""

REPEAT_SECONDS = 24 * 3600
"""How long the same message makes no second task."""


class EventLog(ABC):
    """Tasks, their steps and their events.

    Safe to use from many asyncio tasks at once; nothing blocks the loop. A cancelled call may or
    may not have been committed, and is never half done. All methods raise ``LogError`` when the
    store cannot be used.
    """

    notifier: Notifier
    """Wakes readers after each commit of this process."""

    artifacts: Artifacts | None = None
    """Where large contents of its entries are; ``None`` when they are in the log itself."""

    @abstractmethod
    async def create(
        self,
        principal: Principal,
        task: NewTask,
        first: Entry,
        *then: Entry,
        owner: str | None,
        ttl: float,
        dedupe: str | None = None,
    ) -> Lease:
        """Create ``task`` for ``principal`` with its first event and those that follow at once,
        leased to ``owner`` for ``ttl`` seconds, in one transaction. None of them stops it. Without
        an ``owner`` the lease that is given is nobody's, and the task waits to be claimed, of which
        ``WAITING`` is told.

        ``dedupe`` is the id of the message that asks for it. Within a day the same one from the
        same principal to the same agent, in the same context or with none given both times, makes
        no second task; of two at once, one is made.

        Raises:
            TaskRepeated: the message made a task before; the error has its ``task_id``.
            UnstorableName: a name holds what a database cannot.
            TaskExists: the id is taken, by whomever.
            UnknownTask: ``parent_id`` is no task of this principal.
        """

    @abstractmethod
    async def append(
        self, lease: Lease, entries: Sequence[Entry | Adopt], *, steps: Sequence[StepRow] = ()
    ) -> int:
        """Append ``entries`` in order, write ``steps`` over the rows of their ids, and give the seq
        of the last event there is then. The task's state follows its status entries; entries that
        end or interrupt it give the lease back with them.

        Raises:
            FencedError: the lease is stale.
            TaskEnded: the task is in a terminal state, or an entry follows one that ends it.
            UnknownTask: an adopted child is none of this task.
        """

    def unbounded(self) -> EventLog:
        """This log, which gives each content where it was said, however large; what is damaged or
        lost is an error of reading."""
        return self

    async def digests(self, principal: Principal, task_id: str) -> set[str]:
        """The contents in ``artifacts`` to which the task's own events refer; none when there is no
        such task."""
        return set()

    def recent(self, principal: Principal, task_id: str, after: int) -> list[LogEvent]:
        """The events with ``seq > after`` with which ``read`` would begin, as far as this process
        wrote them lately and has them at hand; often none. They are to be read only."""
        return []

    def whole(self, principal: Principal, task_id: str) -> tuple[str, list[LogEvent]] | None:
        """The agent and all events of a task that has ended, if this process wrote them lately and
        has them at hand: nothing can follow them. They are to be read only."""
        return None

    @abstractmethod
    async def read(
        self,
        principal: Principal,
        task_id: str,
        after: int = 0,
        limit: int = READ_LIMIT,
        *,
        kinds: Collection[Kind] | None = None,
    ) -> list[LogEvent]:
        """The events with ``seq > after``, at most ``limit``, of ``kinds`` only when given.

        Raises:
            UnknownTask: there is none for this principal.
        """

    @abstractmethod
    async def task(self, principal: Principal, task_id: str) -> TaskRow:
        """The task as it stands.

        Raises:
            UnknownTask: there is none for this principal.
        """

    @abstractmethod
    async def tasks(
        self,
        principal: Principal,
        where: TaskFilter | None = None,
        *,
        limit: int = 50,
        after: tuple[float, str] | None = None,
    ) -> TaskPage:
        """A page of the principal's tasks; ``after`` is the cursor of the page before."""

    @abstractmethod
    async def steps(self, principal: Principal, task_id: str) -> list[StepRow]:
        """The steps of a goal in the order of its plan; empty when it has none.

        Raises:
            UnknownTask: there is none for this principal.
        """

    @abstractmethod
    async def claim(
        self,
        principal: Principal,
        task_id: str,
        *,
        owner: str,
        ttl: float,
        dead: str | None = None,
    ) -> Lease | None:
        """The task's lease when it is free, has expired or is held by ``dead``; else ``None``.
        A task that has ended cannot be claimed. Its own lease has never expired for an ``owner``:
        who lives runs its tasks, whatever a clock says that has jumped.

        Raises:
            UnknownTask: there is none for this principal.
        """

    @abstractmethod
    async def claim_lost(
        self, *, owner: str, ttl: float, limit: int = 100, room: Room | None = None
    ) -> list[tuple[TaskRow, Lease]]:
        """Claim tasks, of all principals, that should be in somebody's hands and are not: because
        they have not begun, or because another's lease has run out or was given back. At most
        ``limit``, and for which there is ``room``: those that take none, the oldest first, and then
        the tenants in turn, each with its next one by priority and age. What is paused is passed
        over, but not what somebody wants canceled, or whose deadline is over. Of several processes
        that call it at once each gets others, and none waits. A wish to cancel stays. For the
        platform's own recovery only, like ``unfinished``."""

    @abstractmethod
    async def release(self, lease: Lease, *, handed_over: bool = False) -> None:
        """Give the lease back. A stale one changes nothing. With ``handed_over`` another process is
        to go on with the task, and ``WAITING`` is told."""

    @abstractmethod
    async def pulse(self, owner: str, ttl: float) -> Pulse:
        """Renew all leases of ``owner`` for ``ttl`` seconds from now, and tell what it holds."""

    @abstractmethod
    async def request_cancel(self, principal: Principal, task_id: str) -> TaskRow:
        """Ask the task's owner, in whatever process, to cancel it; it learns of it by ``pulse``.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
        """

    @abstractmethod
    async def request_pause(
        self, principal: Principal, task_id: str, *, paused: bool, below: bool = True
    ) -> TaskRow:
        """Have the task, and with ``below`` all that was begun for it, run by nobody, or again by
        somebody. Who runs them learns of it by ``pulse``; when they may go on, ``WAITING`` is told.

        Raises:
            UnknownTask: there is none for this principal.
            TaskEnded: it is over.
        """

    @abstractmethod
    async def unfinished(self, *, limit: int = 1000) -> list[TaskRow]:
        """Tasks of all principals that should be in somebody's hands: neither ended nor waiting for
        input. For the platform's own recovery only; what it does to one, it does as the row's
        ``principal``."""

    @abstractmethod
    async def now(self) -> float:
        """The clock of the database, by which leases and deadlines run out: in seconds since the
        epoch. That of a process may differ, and may be set while tasks are at work."""

    @abstractmethod
    async def close(self) -> None:
        """Commit what was handed in, and let go of the store. Closing twice does nothing."""
