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

from codin.agent.base import AgentInfo
from codin.agent.planning import _prompts as prompts
from codin.agent.planning._building import Job
from codin.agent.planning.planner import PlanRequest
from codin.agent.planning.ranking import LexicalRanking
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
_SURE = 0.5
_TIE = 0.4


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
        texts = texts or [request.goal]
        fits = await self._fits(texts, request.agents, context)
        matches = assign(fits, _shared(texts, request.agents))
        return [
            Job(match.job, match.agent, (place - 1,) if place else ())
            for place, match in enumerate(worth_doing(shared_out(matches, fits)))
        ]

    async def best(self, text: str, agents: Sequence[AgentInfo], context: CallContext) -> Match:
        """The agent that fits ``text`` best."""
        fits = await self._fits([text], agents, context)
        return assign(fits, _shared([text], agents))[0]

    async def _fits(
        self, texts: Sequence[str], agents: Sequence[AgentInfo], context: CallContext
    ) -> dict[str, dict[str, float]]:
        ranking = LexicalRanking(agents)
        fits: dict[str, dict[str, float]] = {text: {} for text in texts}
        # Agent by agent: the model has read the agent's description when the next job comes.
        for agent in agents:
            for text in texts:
                if agent.id in ranking.best(text, MAX_WEIGHED):
                    fits[text][agent.id] = await self._fit(agent, text, context)
        return fits

    async def _fit(self, agent: AgentInfo, job: str, context: CallContext) -> float:
        description = prompts.shortened(agent.description.strip() or agent.name, 800)
        question = prompts.fit(description, prompts.shortened(job, 600))
        yes, no = await self._weigher.weigh(question, ("Yes", "No"), context=context)
        return math.log((yes + _FLOOR) / (no + _FLOOR))


def worth_doing(matches: Sequence[Match]) -> list[Match]:
    """The matches without those jobs that are nobody's, unless that is all of them."""
    fitting = [match for match in matches if match.fit > _NOBODY]
    return fitting or [max(matches, key=lambda match: match.fit)]


def shared_out(matches: Sequence[Match], fits: Mapping[str, Mapping[str, float]]) -> list[Match]:
    """The matches, with a second agent for a job that two are surely and equally good for.

    Such a job is likely to hold work for both ("a report with a chart"), and leaving one of them
    out would be the toss of a coin. Who did the job before comes first.
    """
    out: list[Match] = []
    for match in matches:
        ways = [Match(match.job, agent, fit) for agent, fit in fits[match.job].items()]
        ways.sort(key=lambda way: (way.agent != match.agent, -way.fit))
        good = [way for way in ways[:2] if way.fit >= _SURE and abs(way.fit - match.fit) <= _TIE]
        before = out[-1].agent if out else None
        out += sorted(good or [match], key=lambda way: way.agent != before)
    return out


def _shared(texts: Sequence[str], agents: Sequence[AgentInfo]) -> dict[str, dict[str, float]]:
    ranking = LexicalRanking(agents)
    return {text: ranking.scores(text) for text in texts}


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
