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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from codin.database import storable
from codin.security import Principal
from codin.task.errors import UnknownTask, UnstorableName
from codin.task.log._json import digest
from codin.task.notify import Notifier
from codin.task.states import INTERRUPTED, TERMINAL

if TYPE_CHECKING:
    from codin.task.artifacts import Artifacts

Kind = Literal["task", "message", "status", "artifact", "child", "call", "state", "begun", "model"]
"""What a body holds: ``task``, ``message``, ``status`` and ``artifact`` the JSON of A2A's Task (at
its creation), Message (a later one of the user), TaskStatusUpdateEvent, TaskArtifactUpdateEvent;
``child`` an event of a child task; ``call`` a record of a tool call.

Shown to nobody are ``state``, what an agent needs to go on when it is answered; ``begun``, what a
run was begun with; and ``model``, what a model answered it."""

_UNSHOWN = frozenset({"state", "begun", "model"})
UNTOLD = _UNSHOWN | {"call"}
"""The kinds that are no news to a client of A2A."""

READ_LIMIT = 500

WAITING = "*"
"""What ``notifier`` is told besides the ids of tasks, none of which is so: something waits for any
process that has room."""

REPEAT_SECONDS = 24 * 3600
"""How long the same message makes no second task."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One entry of a task's log. ``time`` is in seconds since the epoch.

    A ``child`` event's body is ``{"step", "agent", "task_id", "seq", "kind", "body"}`` with the
    child's own event inside, read through the reference that the log keeps.
    """

    task_id: str
    seq: int
    kind: Kind
    time: float
    body: dict[str, Any]

    @property
    def shown(self) -> dict[str, Any]:
        """What may be seen of the body: nothing of what only a run needs to go on."""
        return _shown(self.kind, self.body)

    @property
    def state(self) -> str | None:
        """The state that the task is in from this event on; ``None`` when it says nothing of it."""
        return state_of(self.kind, self.body)


def _shown(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    if kind == "child":  # a child may have children itself
        return {**body, "body": _shown(body["kind"], body["body"])}
    return {} if kind in _UNSHOWN else body


def state_of(kind: str, body: dict[str, Any]) -> str | None:
    """The task state that an event of ``kind`` with ``body`` sets, if any."""
    if kind not in ("task", "status"):
        return None
    return str(body["status"]["state"])


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be appended."""

    kind: Literal["task", "message", "status", "artifact", "call", "state", "begun", "model"]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take in, by reference, the events of a child task that are not in this log yet."""

    child_id: str
    step: str
    agent: str


StepState = Literal["waiting", "working", "completed", "failed", "canceled", "skipped"]


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of a goal as it stands. ``child_id`` is the task that does it, once there is one;
    ``spec`` is what the plan says of it besides, as JSON data."""

    step_id: str
    agent: str
    instruction: str
    needs: tuple[str, ...] = ()
    title: str = ""
    state: StepState = "waiting"
    attempt: int = 0
    child_id: str | None = None
    error: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)


def latest(steps: Iterable[StepRow]) -> list[StepRow]:
    """The last row of each step, in the order of the first."""
    return list({step.step_id: step for step in steps}.values())


PLACES = 1 << 20
"""Steps that are written with one event, at most."""


def place_of(seq: int, number: int) -> int:
    """Where the ``number``-th of the steps that are written with the event ``seq`` has its place
    among those of its goal, without a look at the others."""
    return seq * PLACES + number


Lane = Literal["goal", "agent", "below"]
"""Whether a task takes room: not as a goal, whose steps do the work; as an agent's it does; not
``below`` an agent that called it, waits for it, and holds the room."""


@dataclass(frozen=True, slots=True)
class Room:
    """What may begin in a process: so many ``runs`` of agents, none of these ``tenants`` and none
    of these ``agents``; with ``roomless`` also what takes no room. The tenants in ``served`` had
    their turn before others, the last one last."""

    runs: int
    tenants: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    served: tuple[str, ...] = ()
    roomless: bool = True


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be created. ``goal_id`` is the task at the root, its own id when it is one;
    ``context_given`` says whether the client named the context, or it was made for this task.
    ``deadline`` is in seconds since the epoch, by the database's clock."""

    task_id: str
    context_id: str
    agent_id: str
    goal_id: str
    parent_id: str | None = None
    context_given: bool = True
    lane: Lane = "agent"
    priority: int = 0
    deadline: float | None = None


def check_new(principal: Principal, task: NewTask) -> None:
    """Return when every store can hold the names of ``task``.

    Raises:
        UnstorableName: one cannot be held.
    """
    for what, name in (
        ("task id", task.task_id),
        ("context id", task.context_id),
        ("agent id", task.agent_id),
        ("goal id", task.goal_id),
        ("tenant", principal.tenant),
        ("subject", principal.subject),
    ):
        if not storable(name):
            raise UnstorableName(
                f"the {what} {name[:80]!r} holds a character that cannot be stored (NUL or half a"
                " surrogate pair): leave it out"
            )
    if not storable(task.parent_id):
        raise UnknownTask(task.parent_id or "")


def repeat_key(task: NewTask, dedupe: str) -> str:
    """What one message has in common each time that it is sent: the agent, the context if it named
    one, and its id."""
    return digest(task.agent_id, task.context_id if task.context_given else "", dedupe)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as it stands. ``status`` is the JSON of A2A's TaskStatus when the state last changed;
    ``created`` and ``updated`` (of that change) are in seconds since the epoch.

    ``owner`` holds the lease, if anybody does; ``expired`` says that it has run out. A ``paused``
    task is run by nobody.
    """

    task_id: str
    tenant: str
    subject: str
    context_id: str
    agent_id: str
    goal_id: str
    parent_id: str | None
    state: str
    status: dict[str, Any]
    last_seq: int
    created: float
    updated: float
    owner: str | None = None
    expired: bool = True
    cancel_requested: bool = False
    lane: Lane = "agent"
    priority: int = 0
    deadline: float | None = None
    paused: bool = False

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def interrupted(self) -> bool:
        return self.state in INTERRUPTED

    @property
    def principal(self) -> Principal:
        """The owner of the data, with no role at all."""
        return Principal(self.tenant, self.subject)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a task. ``fence`` grows with each claim; ``expires`` is in seconds
    since the epoch, by the database's clock."""

    task_id: str
    owner: str
    fence: int
    expires: float


def holds(lease: Lease, owner: str | None, fence: int, state: str) -> bool:
    """Whether ``lease`` is that of a task with these, or was when the task ended."""
    return fence == lease.fence and (owner == lease.owner or state in TERMINAL)


def last_status(entries: Sequence[Entry]) -> Entry:
    """The one of ``entries``, the first of which is a task, that says in what state it is."""
    return next(one for one in reversed(entries) if state_of(one.kind, one.body) is not None)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What an owner holds, and which of these somebody wants canceled, or paused."""

    held: frozenset[str]
    cancel: frozenset[str]
    pause: frozenset[str] = frozenset()


def pulse_of(held: Iterable[tuple[str, Any, Any]]) -> Pulse:
    """From the ids that are held, and for each whether it is to be canceled, and paused."""
    rows = list(held)
    return Pulse(
        frozenset(task_id for task_id, _, _ in rows),
        frozenset(task_id for task_id, cancel, _ in rows if cancel),
        frozenset(task_id for task_id, _, pause in rows if pause),
    )


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list. ``roots`` leaves out the tasks that are steps of another."""

    agent_id: str | None = None
    context_id: str | None = None
    state: str | None = None
    updated_from: float | None = None
    roots: bool = False


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Tasks by last change of state, newest first. ``cursor`` is where the next page begins, or
    ``None``; ``total`` counts all that match."""

    tasks: tuple[TaskRow, ...]
    total: int
    cursor: tuple[float, str] | None = field(default=None)


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
