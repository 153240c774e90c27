"""The contract of a planner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from codin.agent.base import AgentError, AgentInfo
from codin.agent.planning.plan import Plan
from codin.security import Principal


class PlanningFailed(AgentError):
    """No valid plan came out; the message says what was tried and what was wrong with it."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A goal in words, the agents that this principal may use, and the files that are there.

    ``files`` are paths inside the workspace. ``tools`` are descriptions by name.
    """

    goal: str
    agents: Sequence[AgentInfo]
    principal: Principal
    files: Sequence[str] = ()


class Planner(ABC):
    """Turns a goal into a plan."""

    @abstractmethod
    async def plan(self, request: PlanRequest) -> Plan:
        """A plan that has passed ``Plan.check``.

        Raises:
            PlanningFailed: nothing usable came out.
            ModelError: the model could not be reached.
        """
