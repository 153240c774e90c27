"""The plan of the examples, which is done as it stands by agents that ask no model."""

from __future__ import annotations

from pathlib import Path

import pytest

from codin.agent.planning.document import read_plan, with_values
from codin.config import load_settings
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.model import parse
from codin.security import LOCAL_USER
from codin.task import TaskProjection
from codin.testing.scripted_model import ScriptedModel, text

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "plan"


async def test_the_plan_maps_tries_again_and_joins(tmp_path: Path) -> None:
    settings = load_settings(FOLDER / "codin.toml", home=tmp_path)
    model = ScriptedModel(lambda _: text("nobody asks"))
    async with model.serve() as url:
        choice = parse("openai:scripted", {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"})
        async with open_platform(settings, choice) as platform:
            assert platform.problems == ()
            answer, attempts = await done(platform, "lower")
            assert answer == (
                "The river is highest at Passau: 512 cm. Read were Passau 512, Linz 431, Krems 338,"
                " Vienna 296."
            )
            assert attempts == [2, 2, 2, 2], "each gauge was busy once"
            answer, _ = await done(platform, "upper")
            assert answer.startswith("The river is highest at Donauwoerth: 187 cm.")
            assert "input 'reach'" in (await done(platform, "middle"))[0]
    assert model.requests == []


async def done(platform: Platform, reach: str) -> tuple[str, list[int]]:
    """The answer, or why there is none, and how often each gauge was read."""
    plan = with_values(read_plan(FOLDER / "levels.yaml"), {"reach": reach})
    task_id = await platform.submit(LOCAL_USER, plan.goal, plan)
    await platform.manager.runner.wait(task_id)
    task = TaskProjection(await platform.log.read(LOCAL_USER, task_id, 0, 10_000)).task()
    rows = await platform.log.steps(LOCAL_USER, task_id)
    attempts = [row.attempt for row in rows if row.step_id.startswith("read.")]
    said = task.artifacts[-1].parts if task.artifacts else task.status.message.parts
    return said[0].text, attempts
