"""Planning with a small model: it splits the goal, and each job is weighed against each agent.

Left alone, a small model gives work to every agent that it is shown. So it is asked first for
the jobs of the goal without being shown the team, and then, for one job and one agent at a time,
for no more than a yes or a no. How likely it finds the one and the other is the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Annotated

from pydantic import BaseModel, Field

from codin.agent import _plan_prompts as prompts
from codin.agent._plan_building import Job
from codin.agent.base import AgentInfo
from codin.agent.planner import PlanRequest
from codin.agent.ranking import LexicalRanking
from codin.model.base import CallContext, ModelClient, Weigher

MAX_JOBS = 6
MAX_WEIGHED = 6
"""How many agents a job is weighed against; of more, those whose descriptions share its words."""

_SPLIT_TOKENS = 300
_NOBODY = -1.0
_FLOOR = 1e-6

# In log odds. Shared words decide only where the model is not sure; where a job could as well be
# that of an agent who is at work already, the plan that comes back to nobody is the likelier one.
_LEXICAL_SHARE = 0.2
_HAND_BACK = 1.0
_NEAR = 3.0


class Jobs(BaseModel):
    """What a goal takes, in order."""

    jobs: Annotated[
        list[Annotated[str, Field(max_length=160)]], Field(min_length=1, max_length=MAX_JOBS)
    ]


@dataclass(frozen=True, slots=True)
class Match:
    """A job, the agent that fits it best, and how well: log odds of yes."""

    job: str
    agent: str
    fit: float


class PlanMatcher:
    """Splits goals and gives the jobs to agents."""

    def __init__(self, model: ModelClient, weigher: Weigher) -> None:
        self._model = model
        self._weigher = weigher

    async def jobs(self, request: PlanRequest, context: CallContext) -> list[Job]:
        """The goal's jobs, each with its agent and waiting for the one before.

        Raises:
            ModelError: the model could not be asked, or gave no list of jobs.
        """
        split = await self._model.generate(
            prompts.split(request.goal),
            context=context,
            output=Jobs,
            max_tokens=_SPLIT_TOKENS,
            temperature=0,
        )
        texts = list(dict.fromkeys(text for job in split.jobs if (text := job.strip())))
        matches = await self.match(texts or [request.goal], request.agents, context)
        return [
            Job(match.job, match.agent, (place - 1,) if place else ())
            for place, match in enumerate(worth_doing(matches))
        ]

    async def match(
        self, texts: Sequence[str], agents: Sequence[AgentInfo], context: CallContext
    ) -> list[Match]:
        """An agent for each text, so that all of them together fit best."""
        ranking = LexicalRanking(agents)
        fits: dict[str, dict[str, float]] = {text: {} for text in texts}
        # Agent by agent: the model has read the agent's description when the next job comes.
        for agent in agents:
            for text in texts:
                if agent.id in ranking.best(text, MAX_WEIGHED):
                    fits[text][agent.id] = await self._fit(agent, text, context)
        return assign(fits, {text: ranking.scores(text) for text in texts})

    async def _fit(self, agent: AgentInfo, job: str, context: CallContext) -> float:
        description = prompts.shortened(agent.description.strip() or agent.name, 800)
        question = prompts.fit(description, prompts.shortened(job, 600))
        yes, no = await self._weigher.weigh(question, ("Yes", "No"), context=context)
        return math.log((yes + _FLOOR) / (no + _FLOOR))


def worth_doing(matches: Sequence[Match]) -> list[Match]:
    """The matches without those jobs that are nobody's, unless that is all of them."""
    fitting = [match for match in matches if match.fit > _NOBODY]
    return fitting or [max(matches, key=lambda match: match.fit)]


def assign(
    fits: Mapping[str, Mapping[str, float]], shared: Mapping[str, Mapping[str, float]]
) -> list[Match]:
    """The likeliest agents for jobs in this order.

    Args:
        fits: for each job the log odds of yes of each agent that was asked about.
        shared: for each job and agent the share of words, 0 to 1.
    """
    scores = {
        job: {agent: odds + _LEXICAL_SHARE * shared[job][agent] for agent, odds in found.items()}
        for job, found in fits.items()
    }
    near = [
        [agent for agent, score in found.items() if score > max(found.values()) - _NEAR]
        for found in scores.values()
    ]

    def worth(agents: Sequence[str]) -> float:
        turns = [agent for agent, _ in groupby(agents)]
        handed_back = len(turns) - len(set(turns))
        likely = sum(found[agent] for agent, found in zip(agents, scores.values(), strict=True))
        return likely - _HAND_BACK * handed_back

    best = max(product(*near), key=worth)
    return [Match(job, agent, fits[job][agent]) for job, agent in zip(fits, best, strict=True)]
