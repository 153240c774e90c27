"""The planner that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from codin.agent.planning.by_agent import AgentPlanner
from codin.agent.planning.document import PlanFileError
from codin.agent.planning.llm import LLMPlanner
from codin.agent.planning.routing import FixedPlanner, SingleAgentRouter
from codin.cli.options import Overrides
from codin.config import ConfigError, load_settings
from codin.gateway.planning import planner_of
from codin.model.base import ModelClient

PLAN = "goal: g\nsteps: [{id: s, agent: a, instruction: do it}]\n"


def settings_of(tmp_path: Path, text: str, **overrides: Any) -> Any:
    file = tmp_path / "codin.toml"
    file.write_text(text)
    return Overrides(file, None, (), (), **overrides).settings()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", LLMPlanner),
        ('[goal]\nplanner = "model"', LLMPlanner),
        ('[goal]\nplanner = "router"', SingleAgentRouter),
        ('[goal]\nplanner = "agent:boss"', AgentPlanner),
        ('[goal]\nplan = "plan.yaml"', FixedPlanner),
    ],
)
def test_settings_say_who_plans(tmp_path: Path, text: str, kind: type) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    model: Any = object()
    assert type(planner_of(settings_of(tmp_path, text).goal, model)) is kind
    flagged = settings_of(tmp_path, text, planner="router")
    assert type(planner_of(flagged.goal, model)) is SingleAgentRouter, "the flag comes first"


@pytest.mark.parametrize("planner", ["moddel", "agent:", "agent: x", ""])
def test_a_planner_that_is_none_is_refused(tmp_path: Path, planner: str) -> None:
    said = r"goal\.planner: give model, router, or agent:ID"
    with pytest.raises(ConfigError, match=said):
        settings_of(tmp_path, f'[goal]\nplanner = "{planner}"')
    with pytest.raises(ConfigError, match=said):
        settings_of(tmp_path, "", planner=planner)


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[goal]\nplan = "none.yaml"')
    with pytest.raises(PlanFileError, match=rf"{tmp_path}/none\.yaml: cannot be read"):
        planner_of(settings.goal, cast("ModelClient", None))


def test_bounds_of_goals_are_checked(tmp_path: Path) -> None:
    goal = load_settings(None).goal
    assert (goal.max_steps, goal.replans) == (200, 2)
    for wrong in ("max_steps = 0", "replans = -1", "parallel = 0"):
        with pytest.raises(ConfigError, match=r"goal\."):
            settings_of(tmp_path, f"[goal]\n{wrong}")
