"""The planner with the model that comes with the platform, on a team that no prompt knows."""

from pathlib import Path

import pytest

from codin.agent.planning.llm import LLMPlanner
from codin.evaluation import evaluate_plans, load_exam
from codin.model import CallContext, ChatMessage, ModelService, Weigher, parse
from codin.model.embedded import server, weights
from codin.security import LOCAL_USER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.model,
    pytest.mark.skipif(
        weights.installed() is None or not server.engine_installed(),
        reason="the embedded model is not on this machine: codin model pull",
    ),
]

EASY = ("n03", "n05", "n06", "n08")


async def test_the_embedded_model_plans_for_a_team_it_has_never_seen() -> None:
    exam = load_exam(Path(__file__).parent / "exams" / "newsroom.yaml")
    cases = [case for case in exam.cases if case.id in EASY]
    async with ModelService(parse("embedded")) as service:
        report = await evaluate_plans(LLMPlanner(service.client), exam, cases=cases)
    wrong = [(row.id, row.agents, row.reason) for row in report.rows if not row.right]
    assert report.score >= 3, wrong


async def test_the_embedded_model_says_how_sure_it_is() -> None:
    async with ModelService(parse("embedded")) as service:
        client = service.client
        assert isinstance(client, Weigher)
        shares = []
        for place in ("France", "Japan"):
            question = f"Is Paris the capital of {place}? Answer Yes or No."
            context = CallContext(LOCAL_USER)
            yes, no = await client.weigh(
                [ChatMessage("user", question)], ("Yes", "no"), context=context
            )
            assert 0.5 < yes + no <= 1.001
            shares.append(yes)
    assert shares[0] > 0.9
    assert shares[1] < 0.1
