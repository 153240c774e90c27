"""A secret that a function asks for."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

from codin.tool.base import ToolDefinitionError


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a parameter that takes the operator's secret ``name``, and is not in the schema::

        def open_ticket(title: str, token: Annotated[str, Secret("tracker")]) -> str: ...

    Where the secret is, and that the tool may have it, the operator says: in the settings
    (``[secrets.tracker]``), or by ``FunctionTool.with_secrets``.
    """

    name: str


def secret_of(hint: Any, key: str, tool: str) -> str | None:
    """The name of the secret that the parameter ``key`` of type ``hint`` takes, if it takes one.

    Raises:
        ToolDefinitionError: a secret is asked for in another way than ``Secret`` says.
    """
    if typing.get_origin(hint) is typing.Annotated:
        kind, *marks = typing.get_args(hint)
        names = [mark.name for mark in marks if isinstance(mark, Secret)]
        if len(names) == 1 and kind is str and Secret not in marks:
            return names[0]
    if _mentions(hint):
        raise ToolDefinitionError(
            f"tool '{tool}': the parameter '{key}' asks for a secret; write it as "
            f"'{key}: Annotated[str, Secret(\"name\")]'"
        )
    return None


def _mentions(hint: Any) -> bool:
    if hint is Secret or isinstance(hint, Secret):
        return True
    return any(map(_mentions, typing.get_args(hint)))
