"""Which runs begin in a process, and how many at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from codin.agent.base import AgentRuntime
from codin.task.log.leases import Room
from codin.task.log.rows import Lane

_SERVED = 1000
"""Tenants of which it is known when they had their last turn."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How many runs of agents a process has at a time: in all, of one tenant, of the agents that
    have a limit of their own, and of those that run in one runtime, by its name. A process with
    none takes tasks and leaves them to others.
    A run that got no further ``stalls`` times in a row, and did not just wait for others or was
    handed over, is not begun again: it is probably what ends its processes.

    Goals, and agents that are called by agents, are not counted: they wait for others, or those
    wait for them.
    """

    runs: int = 256
    per_tenant: int | None = None
    per_agent: Mapping[str, int] = field(default_factory=dict)
    per_runtime: Mapping[AgentRuntime, int] = field(default_factory=dict)
    stalls: int = 5


Runtimes = Callable[[], Mapping[str, str]]
"""Gives in which runtime the runs of each agent do their work, by the agent's id."""


class Scheduler:
    """Counts the runs of a process. What has no room waits in the log for whichever process has.

    Tenants take turns, whatever they have waiting; of one tenant's tasks those of higher priority
    come first, and then the older ones. ``runtimes`` is of the agents that this process has: in
    another one an agent may run elsewhere.
    """

    def __init__(self, limits: RunLimits | None = None, runtimes: Runtimes = dict) -> None:
        self.runtimes = runtimes
        self._limits = limits or RunLimits()
        self._runs: dict[str, tuple[str, str, str]] = {}
        self._tenants: Counter[str] = Counter()
        self._agents: Counter[str] = Counter()
        self._places: Counter[str] = Counter()
        self._served: dict[str, None] = {}
        self.waited = 0
        """How many have begun to wait so far, some of them twice."""
        self.queued = False
        """Whether tasks may be waiting that have to begin before new ones."""

    @property
    def room(self) -> Room:
        """What may begin now."""
        most = self._limits.per_tenant
        full = {tenant for tenant, n in self._tenants.items() if most is not None and n >= most}
        busy = {one for one, most in self._limits.per_agent.items() if self._agents[one] >= most}
        busy |= self._crowded()
        left = max(self._limits.runs - len(self._runs), 0)
        return Room(
            left,
            frozenset(full),
            frozenset(busy),
            tuple(self._served),
            roomless=self._limits.runs > 0,
        )

    def admits(self, lane: Lane, tenant: str, agent_id: str) -> bool:
        """Whether a run may begin now."""
        if lane != "agent":
            return self._limits.runs > 0
        room = self.room
        return room.runs > 0 and tenant not in room.tenants and agent_id not in room.agents

    def begin(self, task_id: str, lane: Lane, tenant: str, agent_id: str) -> None:
        """A run has begun."""
        if lane == "agent" and task_id not in self._runs:
            place = self._known().get(agent_id, "")
            self._runs[task_id] = tenant, agent_id, place
            self._served.pop(tenant, None)
            self._served[tenant] = None
            if len(self._served) > _SERVED:
                del self._served[next(iter(self._served))]
            self._tenants[tenant] += 1
            self._agents[agent_id] += 1
            self._places[place] += 1

    def wait(self) -> None:
        """A task begins to wait."""
        self.waited += 1
        self.queued = True

    def end(self, task_id: str) -> None:
        """A run has ended."""
        ended = self._runs.pop(task_id, None)
        if ended is not None:
            tenant, agent_id, place = ended
            self._tenants[tenant] -= 1
            self._agents[agent_id] -= 1
            self._places[place] -= 1

    def _crowded(self) -> set[str]:
        """The agents of runtimes in which there is no room."""
        limits = self._limits.per_runtime
        full = {place for place, most in limits.items() if self._places[place] >= most}
        return {agent_id for agent_id, place in self._known().items() if place in full}

    def _known(self) -> Mapping[str, str]:
        return self.runtimes() if self._limits.per_runtime else {}
