"""The planner that the settings name."""

from __future__ import annotations

from codin.agent.planning.by_agent import AgentPlanner
from codin.agent.planning.document import read_plan
from codin.agent.planning.llm import LLMPlanner
from codin.agent.planning.planner import Planner
from codin.agent.planning.routing import FixedPlanner, SingleAgentRouter
from codin.config import GoalSettings
from codin.model.base import ModelClient


def planner_of(settings: GoalSettings, model: ModelClient) -> Planner:
    """Who plans goals.

    Raises:
        PlanFileError: the file of ``plan`` holds none.
    """
    if settings.plan is not None:
        return FixedPlanner(read_plan(settings.plan))
    if settings.planner == "router":
        return SingleAgentRouter()
    if settings.planner.startswith("agent:"):
        return AgentPlanner(settings.planner.removeprefix("agent:"))
    return LLMPlanner(model)
