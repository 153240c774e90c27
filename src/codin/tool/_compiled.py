"""The schemas of a tool compiled once, without asking anybody for what they refer to."""

from __future__ import annotations

import weakref
from typing import Any

from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError

from codin.tool.base import ToolDefinitionError, ToolSpec


class Schemas:
    """The validators of one tool, each made when it is first needed."""

    __slots__ = ("_input", "_name", "_output", "_schemas")

    def __init__(self, spec: ToolSpec) -> None:
        self._name = spec.name
        self._schemas = spec.input_schema, spec.output_schema
        self._input: Draft202012Validator | None = None
        self._output: Draft202012Validator | None = None

    @property
    def input(self) -> Draft202012Validator:
        """What arguments are held against.

        Raises:
            ToolDefinitionError: the schema refers to what is not in it, or is none.
        """
        if self._input is None:
            self._input = self._made(self._schemas[0])
        return self._input

    @property
    def output(self) -> Draft202012Validator | None:
        """What results are held against, where the tool says what they are. Raises as ``input``."""
        if self._output is None and self._schemas[1] is not None:
            self._output = self._made(self._schemas[1])
        return self._output

    def _made(self, schema: dict[str, Any]) -> Draft202012Validator:
        try:
            # Offline: a reference to an address is an error, never a download.
            return Draft202012Validator(schema, offline=True)
        except (ValidationError, ReferencingError, ValueError) as error:
            said = str(error).partition("\n")[0][:300]
            raise ToolDefinitionError(
                f"{self._name}: the tool's schema cannot be used: {said}"
            ) from error


# By identity: a spec holds dictionaries, and has no hash.
_known: dict[int, tuple[weakref.ref[ToolSpec], Schemas]] = {}


def schemas_of(spec: ToolSpec) -> Schemas:
    """The validators of ``spec``, kept as long as it is."""
    known = _known.get(id(spec))
    if known is not None and known[0]() is spec:
        return known[1]
    key, made = id(spec), Schemas(spec)
    _known[key] = weakref.ref(spec, lambda gone: _forget(key, gone)), made
    return made


def _forget(key: int, gone: weakref.ref[ToolSpec]) -> None:
    # Another spec may be at this address by now.
    if key in _known and _known[key][0] is gone:
        del _known[key]
