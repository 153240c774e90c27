"""From jobs that have found their agents to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codin.agent.planning._prompts import shortened
from codin.agent.planning.plan import Plan, Step, step_id
from codin.agent.planning.planner import PlanRequest

_INSTRUCTION_CHARS = 16_000
_TITLE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of a goal, and who does it. ``needs`` are places of jobs in the same list."""

    text: str
    agent: str
    needs: tuple[int, ...] = ()


def build(
    request: PlanRequest, jobs: Sequence[Job], reason: str, *, told_by_part: bool = True
) -> Plan:
    """A plan of these jobs. The only job of a plan is the goal itself, in its own words; so is each
    job when agents are not to be told their part of it."""
    merged = merge(jobs)
    alone = len(merged) == 1 and not merged[0].needs
    steps = steps_of(request, merged, told_by_part=told_by_part and not alone)
    return Plan(goal=request.goal, steps=steps, reason=reason)


def steps_of(
    request: PlanRequest, jobs: Sequence[Job], *, told_by_part: bool = True
) -> tuple[Step, ...]:
    """A step for each job, titled by it, and told the goal and perhaps its part."""
    ids = [step_id(job.agent, number) for number, job in enumerate(jobs, start=1)]
    return tuple(
        Step(
            id=ids[number],
            agent=job.agent,
            instruction=_instruction(request, job.text if told_by_part else ""),
            title=_title(job.text),
            # A step that needs what is not there is the check's to find, and to say.
            needs=tuple(ids[n] if 0 <= n < len(ids) else str(n + 1) for n in job.needs),
        )
        for number, job in enumerate(jobs)
    )


def merge(jobs: Sequence[Job]) -> list[Job]:
    """Neighbours of one agent as one job, where the second needs no more than the first does."""
    if not all(0 <= need < place for place, job in enumerate(jobs) for need in job.needs):
        return list(jobs)
    merged: list[Job] = []
    place: list[int] = []
    for job in jobs:
        needs = tuple(dict.fromkeys(place[need] for need in job.needs))
        last = len(merged) - 1
        if merged and merged[last].agent == job.agent and last in needs:
            before = merged[last]
            if set(needs) <= {*before.needs, last}:
                merged[last] = Job(_joined(before.text, job.text), job.agent, before.needs)
                place.append(last)
                continue
        merged.append(Job(job.text, job.agent, needs))
        place.append(len(merged) - 1)
    return merged


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_CHARS else line[: _TITLE_CHARS - 3].rstrip() + "..."


def _joined(first: str, second: str) -> str:
    return f"{first.rstrip(' .;')}; {second}"


def _instruction(request: PlanRequest, part: str) -> str:
    """The part comes last: small models heed the end of what they are told most.

    The files are not named: who looks into files is told what is in them when the step begins.
    """
    goal = shortened(request.goal, _INSTRUCTION_CHARS)
    if not part:
        return goal
    sentence = part[:1].upper() + part[1:].rstrip(" .;") + "."
    return f'The goal of the whole team: "{goal}"\nYour part of it, and no more: {sentence}'
