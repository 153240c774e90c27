"""Arguments held against a schema: put right where a model's slip is plain, then checked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError

from codin.tool._compiled import schemas_of
from codin.tool._entry import plain
from codin.tool._sentence import best, sample, sentence
from codin.tool._size import has_more
from codin.tool.base import InvalidArguments, ToolSpec

# All mistakes are looked for at once, which takes as long as there may be mistakes.
_MOST_ITEMS = 1000
_NOTHING = ("", "null", "none", "undefined")


def fit(spec: ToolSpec, arguments: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """The arguments as the tool takes them.

    A value that does not fit is tried as what it plainly means: ``"3"`` as 3, a JSON text as the
    object in it, one item as a list of it, nothing for an argument that may be left out. A value
    that JSON has no word for is taken as it would be told in JSON: a date as its text.

    Raises:
        InvalidArguments: they do not fit; the message says which argument, what was expected, and
            gives an example.
        ToolDefinitionError: the tool's schema cannot be used.
    """
    given = _as_object(spec, arguments)
    validator = schemas_of(spec).input
    try:
        fits = validator.is_valid(given)
    except ValueError:
        # Not of JSON's types: only code can have given that, never a model.
        given = plain(given)
        fits = validator.is_valid(given)
    if fits:
        return given
    if not has_more(given, _MOST_ITEMS):
        given = _put_right(spec, validator, given)
    _check(spec, validator, given)
    return given


def positional(spec: ToolSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Positional and named arguments as one object, by the schema's order of properties.

    Raises:
        InvalidArguments: too many, or one given twice.
    """
    if not args:
        return dict(kwargs)
    names = list(spec.input_schema.get("properties", {}))
    if len(args) > len(names):
        raise InvalidArguments(
            f"{spec.name}: takes {len(names)} arguments ({', '.join(names)}), got {len(args)}"
        )
    placed = dict(zip(names, args, strict=False))
    twice = sorted(placed.keys() & kwargs.keys())
    if twice:
        raise InvalidArguments(f"{spec.name}: argument '{twice[0]}' is given twice")
    return {**placed, **kwargs}


def example(spec: ToolSpec) -> str:
    """A call's arguments as JSON: the schema's own example, or one made from its types."""
    return sample(spec.input_schema)


def _as_object(spec: ToolSpec, arguments: Mapping[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError) as error:
            raise InvalidArguments(
                f"{spec.name}: the arguments are not JSON ({error}). Example: {example(spec)}"
            ) from error
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise InvalidArguments(
            f"{spec.name}: the arguments have to be one JSON object. Example: {example(spec)}"
        )
    return {str(key): value for key, value in arguments.items()}


def _put_right(
    spec: ToolSpec, validator: Draft202012Validator, given: dict[str, Any]
) -> dict[str, Any]:
    required = set(spec.input_schema.get("required", ()))
    wrong = {
        error.instance_path[0] for error in validator.iter_errors(given) if error.instance_path
    }
    fitted: dict[str, Any] = {}
    for key, value in given.items():
        if key not in wrong:
            fitted[key] = value
        elif key in required or not _is_nothing(value) or _fits(validator, key, None):
            fitted[key] = _read(validator, key, value)
    return fitted


def _check(spec: ToolSpec, validator: Draft202012Validator, given: dict[str, Any]) -> None:
    try:
        validator.validate(given)
    except ValidationError as error:
        many = has_more(given, _MOST_ITEMS)
        told = error if many else best(list(validator.iter_errors(given)))
        said = sentence(spec.input_schema, told)
        raise InvalidArguments(f"{spec.name}: {said} Example: {example(spec)}") from None


def _fits(validator: Draft202012Validator, key: str, value: Any) -> bool:
    """Whether nothing is wrong with ``value`` as this argument, whatever else is missing."""
    errors = validator.iter_errors({key: value})
    return not any(error.instance_path[:1] == [key] for error in errors)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _read(validator: Draft202012Validator, key: str, value: Any) -> Any:
    for candidate in _readings(value):
        if _fits(validator, key, candidate):
            return candidate
    return value


def _readings(value: Any) -> Iterator[Any]:
    """What ``value`` may have been meant as, likeliest first."""
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in ("true", "false"):
            yield text.lower() == "true"
        with contextlib.suppress(ValueError, RecursionError):
            yield json.loads(text)
        if text.lower() in _NOTHING:
            yield None
        yield text
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, (dict, list)):
        yield json.dumps(value, ensure_ascii=False, default=repr)
    if not isinstance(value, list):
        yield [value]
