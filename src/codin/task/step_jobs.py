"""Which steps of a plan can be worked on, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

from codin.agent.planning.plan import Plan
from codin.agent.planning.step import Step


@dataclass(frozen=True, slots=True)
class Job:
    """A task that is to be done for a step: all of it, or that for one item of its map."""

    step: Step
    place: int | None = None
    item: Any = None

    @property
    def id(self) -> str:
        """Its name among the goal's rows. No step has a dot in its name."""
        return self.step.id if self.place is None else item_id(self.step.id, self.place)

    @property
    def named(self) -> Step:
        """The step, under the name of the job."""
        return self.step if self.place is None else self.step.model_copy(update={"id": self.id})

    @property
    def items(self) -> tuple[Any] | None:
        """The item, if it is for one."""
        return None if self.place is None else (self.item,)


def item_id(step_id: str, place: int) -> str:
    """The row of an item of a map; items are counted from 1."""
    return f"{step_id}.{place}"


def is_planned(row_id: str) -> bool:
    """Whether a row is that of a step of the plan, and not of something below one."""
    return "." not in row_id


class JobQueue:
    """The jobs of ``plan``: those that can begin now come in the order of its steps.

    What it takes for one step does not depend on how many there are.
    """

    def __init__(self, plan: Plan) -> None:
        self._order = TopologicalSorter({step.id: step.after for step in plan.steps})
        self._order.prepare()
        self._steps = {step.id: (place, step) for place, step in enumerate(plan.steps)}
        self._ready: list[tuple[int, int, Job]] = []
        self._waiting: dict[str, deque[Job]] = {}

    def opened(self) -> Iterator[Step]:
        """The steps that wait for no other any more, each once."""
        while ready := self._order.get_ready():
            for _, step in sorted(map(self._steps.__getitem__, ready), key=itemgetter(0)):
                yield step

    def done(self, step: Step) -> None:
        """The step is done: those that wait for it alone can begin."""
        self._order.done(step.id)

    def push(self, step: Step, jobs: Sequence[Job]) -> None:
        """Have ``jobs`` of a step begin when their turn comes."""
        most = (step.map and step.map.parallel) or len(jobs)
        self._waiting[step.id] = deque(jobs)
        for _ in range(min(most, len(jobs))):
            self._next_of(step)

    def pop(self) -> Job | None:
        """The job whose turn it is."""
        return heappop(self._ready)[2] if self._ready else None

    def ended(self, job: Job) -> None:
        """The job runs no more: the next of its map may."""
        self._next_of(job.step)

    def _next_of(self, step: Step) -> None:
        if waiting := self._waiting[step.id]:
            job = waiting.popleft()
            heappush(self._ready, (self._steps[step.id][0], job.place or 0, job))
