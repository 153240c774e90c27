"""Marks a plan against a case of a plan exam.

A case accepts lists of agents, and pairs ``[before, after]``. A plan is right when it is valid and

1. its steps can be put in an order that respects what they wait for and whose agents, with
   neighbours of one name merged, are one of the accepted lists;
2. for every pair of which it uses both agents, every step of ``after`` waits, directly or not,
   for some step of ``before``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Step(NamedTuple):
    """A step as far as an exam looks at it. ``after`` are the ids of the steps it waits for."""

    id: str
    agent: str
    after: frozenset[str] = frozenset()


def right(case: Mapping[str, Any], plan: Sequence[Step], team: frozenset[str]) -> bool:
    """Whether a plan is right for a case, given the ids of the team's agents."""
    accept = case["accept"]
    before = ancestors(plan)
    if not plan or before is None or any(step.agent not in team for step in plan):
        return False
    return any(fits(plan, agents) for agents in accept["agents"]) and all(
        waits(plan, before, first, then) for first, then in accept["deps"]
    )


def ancestors(plan: Sequence[Step]) -> dict[str, frozenset[str]] | None:
    """For every step the steps it waits for, directly or not; None if the plan is no DAG."""
    known: dict[str, frozenset[str]] = {}
    left = {step.id: step for step in plan}
    if len(left) < len(plan):
        return None
    while left:
        ready = [step for step in left.values() if step.after <= known.keys()]
        if not ready:
            return None
        for step in ready:
            known[step.id] = step.after.union(*(known[id_] for id_ in step.after))
            del left[step.id]
    return known


def fits(plan: Sequence[Step], agents: Sequence[str]) -> bool:
    """Whether some order of the steps, neighbours of one agent merged, is this list of agents."""
    done: set[str] = set()
    for agent in agents:
        before = len(done)
        # No accepted list names an agent twice, so nothing is gained by leaving a step for later.
        while ready := {s.id for s in plan if s.agent == agent and s.after <= done} - done:
            done |= ready
        if len(done) == before:
            return False
    return len(done) == len(plan)


def waits(
    plan: Sequence[Step], before: Mapping[str, frozenset[str]], first: str, then: str
) -> bool:
    """Whether every step of `then` waits for some step of `first`, where the plan has both."""
    firsts = {step.id for step in plan if step.agent == first}
    return not firsts or all(before[step.id] & firsts for step in plan if step.agent == then)
