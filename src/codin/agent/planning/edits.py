"""Changes of a plan by somebody who watches it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from codin.agent.planning.plan import Plan, PlanError
from codin.agent.planning.step import Choice, Step, StepId


class PlanEdit(Choice):
    """One change of a plan that is at work: ``retry`` a step, from its beginning, with all that
    follows from it; ``skip`` one, as if it had been done and given nothing; ``remove`` one that no
    other waits for; or ``add`` one."""

    one_of = ("retry", "skip", "remove", "add")

    retry: StepId | None = None
    skip: StepId | None = None
    remove: StepId | None = None
    add: Step | None = None

    @property
    def step(self) -> str:
        """The step that it is about."""
        if self.add is not None:
            return self.add.id
        return next(name for name in (self.retry, self.skip, self.remove) if name)


def edit_of(given: Mapping[str, Any]) -> PlanEdit:
    """The change that ``given`` is; a step to be added may be text, in YAML or JSON.

    Raises:
        PlanError: it is none; the error says why.
    """
    import yaml

    try:
        add = given.get("add")
        data = {**given, "add": yaml.safe_load(add)} if isinstance(add, str) else given
        return PlanEdit.model_validate(data)
    except yaml.YAMLError as error:
        raise PlanError([f"the step to add is no YAML or JSON: {error}"]) from error
    except ValidationError as error:
        found = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}".lstrip(": ") for e in error.errors()]
        raise PlanError(found) from error


def edited(plan: Plan, edit: PlanEdit) -> Plan:
    """``plan`` with its steps as ``edit`` has them. What becomes of what was done is another thing.

    Raises:
        PlanError: the step is not there, others wait for it, or its name is taken.
    """
    if edit.add is not None:
        return plan.with_steps([*plan.steps, edit.add])
    names = [step.id for step in plan.steps]
    if edit.step not in names:
        raise PlanError([f"there is no step {edit.step!r} (steps: {', '.join(names)})"])
    if edit.remove is None:
        return plan
    waiting = sorted(step.id for step in plan.steps if edit.remove in step.after)
    if waiting:
        raise PlanError(
            [f"step {edit.remove!r} is needed by {', '.join(waiting)}: skip it, or remove those"]
        )
    return plan.with_steps(step for step in plan.steps if step.id != edit.remove)


def following(plan: Plan, step_id: str) -> Collection[str]:
    """The steps that wait for a step, those that wait for them, and so on."""
    found: dict[str, None] = {}
    left: Iterable[str] = [step_id]
    while left:
        left = [
            step.id
            for step in plan.steps
            if step.id not in found and any(one in step.after for one in left)
        ]
        found.update(dict.fromkeys(left))
    return list(found)
