"""What the inputs of a step are bound to, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codin.agent.planning.plan import Plan
from codin.agent.planning.step import ITEM, Binding, Step
from codin.task.errors import TaskError
from codin.task.findings import StepOutput, cut

_SHOWN_CHARS = 200


class MissingOutput(TaskError):
    """An input is bound to what is not there; the message names the step and the field."""


class TooManyItems(TaskError):
    """A map is over more items than a plan may have steps."""


def inputs_of(
    step: Step, plan: Plan, outputs: Mapping[str, StepOutput], item: tuple[Any] | None = None
) -> dict[str, Any]:
    """The inputs of a step by name; ``item`` holds that of its map.

    Raises:
        MissingOutput: a step gave no such output.
    """
    found = {
        name: value_of(binding, plan, outputs, f"the input {name!r} of step {step.id!r}")
        for name, binding in step.inputs.items()
    }
    return found if item is None else {ITEM: item[0], **found}


def items_of(step: Step, plan: Plan, outputs: Mapping[str, StepOutput]) -> list[Any]:
    """What the tasks of a step with a map are for, in order.

    Raises:
        MissingOutput: it is bound to what is no list, or is not there.
    """
    assert step.map is not None
    about = f"the map of step {step.id!r}"
    found = value_of(step.map.over, plan, outputs, about)
    if not isinstance(found, list | tuple):
        raise MissingOutput(f"{about} needs a list{_from(step.map.over)}, and got {_shown(found)}")
    return list(found)


def value_of(binding: Binding, plan: Plan, outputs: Mapping[str, StepOutput], about: str) -> Any:
    """What ``binding`` stands for.

    Raises:
        MissingOutput: there is no such output, or no such field in it.
    """
    if binding.step is None:
        whole = binding.value if binding.input is None else plan.value(binding.input)
    else:
        output = outputs[binding.step]
        if output.data is None and binding.field:
            raise MissingOutput(
                f"{about} needs {binding.field} of step {binding.step!r}, which gave no data, only"
                f" the text {_shown(output.text)}"
            )
        whole = output.value
    return whole if binding.field is None else _at(whole, binding.field, binding, about)


def _at(whole: Any, field: str, binding: Binding, about: str) -> Any:
    from jsonpointer import EndOfList, JsonPointerException, resolve_pointer

    try:
        found = resolve_pointer(whole, field)
    except (JsonPointerException, TypeError):
        found = EndOfList(whole)
    if isinstance(found, EndOfList):  # also what follows the last one of a list ("-"), which is not
        raise MissingOutput(
            f"{about} needs {field}{_from(binding)}, where there is no such field in"
            f" {_shown(whole)}"
        )
    return found


def _from(binding: Binding) -> str:
    if binding.step is not None:
        return f" of step {binding.step!r}"
    return "" if binding.input is None else f" of the plan's input {binding.input!r}"


def _shown(value: Any) -> str:
    from codin.jsontext import encoded

    return cut(encoded(value).decode(), _SHOWN_CHARS)
