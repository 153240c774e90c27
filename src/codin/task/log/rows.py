"""Tasks and the steps of goals as they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from codin.database import storable
from codin.security import Principal
from codin.task.errors import UnknownTask, UnstorableName
from codin.task.log._json import digest
from codin.task.states import INTERRUPTED, TERMINAL

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
