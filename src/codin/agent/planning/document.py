"""Plans that somebody wrote: in a YAML file, or as data that came in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from codin.agent.planning.plan import Plan, PlanError
from codin.errors import InvalidInputError

MAX_BYTES = 8 * 1024 * 1024
_MOST_PROBLEMS = 20


class PlanFileError(InvalidInputError):
    """The file cannot be read, or holds no plan."""


def read_plan(path: Path | str) -> Plan:
    """The plan in a YAML file.

    Raises:
        PlanFileError: it cannot be read, or is no plan; the message names every problem.
    """
    import yaml

    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise PlanFileError(f"{path}: is longer than the {MAX_BYTES:,} bytes allowed")
        document = yaml.safe_load(content)
    except OSError as error:
        raise PlanFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise PlanFileError(f"{path}: is no YAML: {error}") from None
    try:
        return parse_plan(document)
    except PlanError as error:
        raise PlanFileError(f"{path}: {'; '.join(error.problems)}") from None


def parse_plan(document: Any) -> Plan:
    """The plan that plain data is.

    Raises:
        PlanError: it has not the form of one; with every place at which it has not.
    """
    try:
        # What is no JSON, such as a date in YAML, is refused where it stands.
        return Plan.model_validate_json(_json(document))
    except ValidationError as error:
        raise PlanError([_sentence(one) for one in error.errors()[:_MOST_PROBLEMS]]) from None


def with_values(plan: Plan, given: Mapping[str, Any]) -> Plan:
    """``plan`` with values for its inputs. A text for an input that is to be no text is read as
    JSON."""
    from codin.agent.planning._validation import schema_problem

    values = dict(plan.values)
    for name, value in given.items():
        schema = plan.inputs.get(name)
        usable = schema is not None and not schema_problem(schema)
        values[name] = _fitting(value, schema) if usable else value
    return plan.model_copy(update={"values": values})


def named_values(pairs: Iterable[str]) -> dict[str, str]:
    """Values by name, from ``NAME=VALUE`` each.

    Raises:
        InvalidInputError: one has another form.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInputError(f"--input {pair!r}: give NAME=VALUE")
        values[name] = value
    return values


def _fitting(value: Any, schema: Any) -> Any:
    from codin.agent.planning._validation import misfit

    if not isinstance(value, str) or not misfit(schema, value):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _json(document: Any) -> bytes:
    from pydantic_core import PydanticSerializationError, to_json

    if not isinstance(document, Mapping):
        raise PlanError(["it is no object with goal and steps"])
    try:
        return to_json(document)
    except (PydanticSerializationError, ValueError) as error:
        raise PlanError([f"it is no JSON data: {error}"]) from None


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    said = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        said = "there is no such key"
    return f"{where}: {said}" if where else said
