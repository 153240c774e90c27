"""What the log of a goal has of its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codin.agent.planning.plan import Plan
from codin.security import Principal
from codin.task.log.base import EventLog
from codin.task.log.entries import Kind
from codin.task.log.rows import StepRow
from codin.task.new_facts import FACTS, Fact, fact_of
from codin.task.projection import data_parts
from codin.task.step_jobs import is_planned
from codin.task.step_rows import step_of

PLAN = "plan"
"""The type of a data part of a goal's message that brings the plan: ``{"type": "plan", "plan":
{...}, "values": {...}}``. The same is said, without ``values``, of every plan that is begun, with
the reason for which it replaces another (``because``), and the ids of the facts that it was made
with (``heeds``)."""

KEPT = "plan_kept"
"""The type of what is said of facts for which the plan stays as it is, and why."""


@dataclass(slots=True)
class PlanHistory:
    """A goal's ``plan`` as it was begun, or changed, last, if it was, and how often it had been
    ``mended``. ``made`` are the files of the jobs that are done, and ``newest`` says of others when
    the newest file that there was before them was changed. ``facts`` came to be known, and the plan
    heeds those of the ids ``heeded``."""

    plan: Plan | None = None
    mended: int = 0
    made: dict[str, tuple[str, ...]] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    heeded: set[str] = field(default_factory=set)

    def take(self, told: Mapping[str, Any]) -> None:
        """How a step stands now."""
        if "newest" in told:
            self.newest[told["id"]] = int(told["newest"])
        if told["state"] == "completed":
            self.made[told["id"]] = tuple(told.get("files", ()))


async def plan_history(
    log: EventLog, principal: Principal, task_id: str, rows: Sequence[StepRow]
) -> PlanHistory:
    """That of a goal, whose plan's steps are those of ``rows``.

    Raises:
        ValueError: it was stored by another version, and cannot be read.
    """
    found = PlanHistory()
    told: dict[str, Any] | None = None
    after = 0
    kinds: tuple[Kind, ...] = ("status",)
    while events := await log.read(principal, task_id, after, kinds=kinds):
        after = events[-1].seq
        for event in events:
            kind, said = _said(event.body)
            if kind == "step":
                found.take(said)
            elif kind in (PLAN, KEPT, FACTS):
                for payload in data_parts(event.body):
                    if kind == FACTS:
                        found.facts.append(fact_of(payload))
                        continue
                    found.mended += "because" in payload
                    found.heeded.update(payload.get("heeds", ()))
                    told = payload.get("plan", told)
    if told is not None:
        known = {row.step_id: step_of(row) for row in rows if is_planned(row.step_id)}
        steps = [known[step["id"]] for step in told["steps"]]
        found.plan = Plan.model_validate({**told, "steps": steps})
    return found


def _said(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Of which type the data of a status event is, and the data as the log has it."""
    for part in body.get("status", {}).get("message", {}).get("parts", ()):
        if isinstance(data := part.get("data"), dict):
            return str(data.get("type")), data
    return "", {}
