"""What can be wrong with a plan, found all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from codin.agent.base import AgentInfo
from codin.agent.planning.step import ITEM, Binding, Check, Step

if TYPE_CHECKING:
    from codin.agent.planning.plan import Plan

_SHOWN = 20
"""Names of one kind that a sentence lists at most."""


def problems_of(plan: Plan, agents: Sequence[AgentInfo], max_steps: int) -> list[str]:
    """Everything for which ``plan`` cannot be run with ``agents``, a sentence each."""
    return [
        *_count(plan, max_steps),
        *_inputs(plan),
        *_steps(plan, {info.id: info for info in agents}),
        *_cycle(plan),
    ]


def _count(plan: Plan, max_steps: int) -> Iterator[str]:
    if not plan.steps:
        yield "it has no steps"
    count = sum(_tasks(step, plan) for step in plan.steps)
    if count > max_steps:
        yield f"it has {count} steps, more than the {max_steps} allowed"
    times = Counter(step.id for step in plan.steps)
    for name in sorted(name for name, often in times.items() if often > 1):
        yield f"two steps are named {name!r}"


def _tasks(step: Step, plan: Plan) -> int:
    """A step, and the items of its map as far as they are known."""
    over = None if step.map is None else step.map.over
    if over is None or over.step is not None or over.field is not None:
        return 1
    if over.input is None:
        items = over.value
    else:
        items = plan.value(over.input) if over.input in plan.inputs else None
    return 1 + len(items) if isinstance(items, list | tuple) else 1


def _inputs(plan: Plan) -> Iterator[str]:
    for name in sorted(set(plan.values) - set(plan.inputs)):
        yield f"there is no input {name!r} (inputs: {_listed(plan.inputs)})"
    for name, schema in plan.inputs.items():
        if wrong := schema_problem(schema):
            yield f"the schema of input {name!r} cannot be used: {wrong}"
        elif name not in plan.values and "default" not in schema:
            yield f"input {name!r} has no value and no default"
        elif wrong := misfit(schema, plan.value(name)):
            yield f"input {name!r}: {wrong}"


def _steps(plan: Plan, agents: Mapping[str, AgentInfo]) -> Iterator[str]:
    known = _listed(sorted(agents)) or "none"
    ids = {step.id for step in plan.steps}
    for step in plan.steps:
        about = f"step {step.id!r}"
        info = agents.get(step.agent)
        if info is None:
            yield f"{about} names an unknown agent {step.agent!r} (known: {known})"
        else:
            yield from (f"{about} {wrong}" for wrong in _tools(step, info))
        for need in step.needs:
            if need not in ids:
                yield f"{about} needs {need!r}, which is no step"
        for place, binding in step.bindings.items():
            yield from (f"{about}: {place} {wrong}" for wrong in _binding(binding, plan, ids))
        if step.map is not None and ITEM in step.inputs:
            yield f"{about} has an input {ITEM!r}, which in a map is the item: name it otherwise"
        if step.check is not None:
            yield from (f"{about}: {wrong}" for wrong in _check(step.check, agents, known))


def _tools(step: Step, info: AgentInfo) -> Iterator[str]:
    from codin.tool.finding.granted import Wanted

    has = Wanted.of(frozenset(info.tools))
    for tool in step.tools or ():
        if tool not in info.tools and not has.has(tool):
            there = _listed(info.tools) or "none"
            yield f"may use the tool {tool!r}, which {info.id!r} does not have (it has: {there})"


def _binding(binding: Binding, plan: Plan, ids: set[str]) -> Iterator[str]:
    if binding.step is not None and binding.step not in ids:
        yield f"is bound to {binding.step!r}, which is no step"
    if binding.input is not None and binding.input not in plan.inputs:
        inputs = _listed(plan.inputs) or "none"
        yield f"is bound to the input {binding.input!r}, which the plan does not have ({inputs})"
    if binding.field is not None and (wrong := _pointer_problem(binding.field)):
        yield f"has the field {binding.field!r}, which is no JSON Pointer: {wrong}"


def _check(check: Check, agents: Mapping[str, AgentInfo], known: str) -> Iterator[str]:
    if check.data_schema is not None and (wrong := schema_problem(check.data_schema)):
        yield f"the schema of its check cannot be used: {wrong}"
    if check.pattern is not None and not _is_pattern(check.pattern):
        yield (
            f"{check.pattern!r} in its check is no regular expression (without look-around and"
            " back references)"
        )
    if check.judge is not None and check.judge.agent not in agents:
        yield f"its check names an unknown agent {check.judge.agent!r} (known: {known})"


def _cycle(plan: Plan) -> Iterator[str]:
    try:
        TopologicalSorter({step.id: step.after for step in plan.steps}).prepare()
    except CycleError as error:
        yield "its steps wait for each other: " + " -> ".join(error.args[1])


def schema_problem(schema: Any) -> str:
    """Why ``schema`` is no JSON Schema that can be used; empty when it is one."""
    from jsonschema_rs import (
        Draft202012Validator,
        ReferencingError,
        RegexOptions,
        ValidationError,
        meta,
    )

    try:
        meta.validate(_with_draft(schema))
        # Patterns that take longer than their text is long are refused: a plan may be a stranger's.
        Draft202012Validator(schema, offline=True, pattern_options=RegexOptions())
    except (ValidationError, ReferencingError, ValueError) as error:
        return str(error).partition("\n")[0][:300]
    return ""


def misfit(schema: Any, value: Any) -> str:
    """Why ``value`` does not fit ``schema``, which can be used; empty when it does."""
    from jsonschema_rs import Draft202012Validator, RegexOptions

    validator = Draft202012Validator(schema, offline=True, pattern_options=RegexOptions())
    error = next(validator.iter_errors(value), None)
    if error is None:
        return ""
    where = "/".join(map(str, error.instance_path))
    return f"{where + ': ' if where else ''}{error.message[:300]}"


def _with_draft(schema: Any) -> Any:
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**draft, **schema} if isinstance(schema, Mapping) else schema


def _is_pattern(pattern: str) -> bool:
    from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

    try:
        Draft202012Validator({"pattern": pattern}, pattern_options=RegexOptions())
    except ValidationError:
        return False
    return True


def _pointer_problem(field: str) -> str:
    from jsonpointer import JsonPointer, JsonPointerException

    try:
        JsonPointer(field)
    except JsonPointerException as error:
        return str(error)
    return ""


def _listed(names: Any) -> str:
    shown = list(names)
    more = len(shown) - _SHOWN
    return ", ".join(map(str, shown[:_SHOWN])) + (f", and {more} more" if more > 0 else "")
