"""The contract of a planner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from codin.agent.base import AgentError, AgentInfo
from codin.agent.planning.plan import MAX_STEPS, Plan
from codin.security import Principal


class PlanningFailed(AgentError):
    """No valid plan came out; the message says what was tried and what was wrong with it."""


AskAgent = Callable[[str, str], Awaitable[str]]
"""Has an agent, by its id, do a task that is a part of planning, and gives its answer. Raises
``PlanningFailed`` when there is none."""


async def ask_nobody(agent_id: str, request: str) -> str:
    """Ask no agent."""
    raise PlanningFailed(f"{agent_id} cannot be asked for a plan here")


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A goal in words, the agents that this principal may use, and the files that are there.

    ``files`` are paths inside the workspace. ``ask`` is how an agent is asked that plans;
    ``max_steps`` bounds the plan. ``task_id`` is the task that models are asked for.
    """

    goal: str
    agents: Sequence[AgentInfo]
    principal: Principal
    files: Sequence[str] = ()
    ask: AskAgent = ask_nobody
    max_steps: int = MAX_STEPS
    task_id: str = ""


def checked(request: PlanRequest) -> PlanRequest:
    """``request``, whose goal has no blanks around it.

    Raises:
        PlanningFailed: it has no goal, or no agent.
    """
    if not request.agents:
        raise PlanningFailed(
            "there is no agent to plan with: add one to codin.toml, or allow one to"
            f" {request.principal.subject!r}"
        )
    if not request.goal.strip():
        raise PlanningFailed("the goal is empty: say in words what is to be done")
    return replace(request, goal=request.goal.strip())


class Planner(ABC):
    """Turns a goal into a plan."""

    @abstractmethod
    async def plan(self, request: PlanRequest) -> Plan:
        """A plan for ``request``. Whoever runs it checks it first.

        Raises:
            PlanningFailed: nothing usable came out.
            ModelError: the model could not be reached.
        """
