"""The arguments of a call as they came, and as they are written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codin.tool._entry import plain
from codin.tool.base import InvalidArguments
from codin.tool.execution.result import cut
from codin.tool.invocation import canonical


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for. ``text`` is canonical JSON where ``arguments`` are an object, and what
    came otherwise; ``problem`` says why it cannot be looked at any further."""

    arguments: Mapping[str, Any] | str | None
    text: str
    problem: str = ""

    def checked(self, name: str) -> Mapping[str, Any] | str | None:
        """The arguments.

        Raises:
            InvalidArguments: there is a ``problem``.
        """
        if self.problem:
            raise InvalidArguments(f"{name}: {self.problem}")
        return self.arguments


def asked(arguments: Mapping[str, Any] | str | None, most: int) -> Asked:
    """What came, of which no more than ``most`` characters are taken."""
    if isinstance(arguments, str):
        if len(arguments) > most:
            return _too_much(arguments, most)
        arguments = _parsed(arguments)
    if isinstance(arguments, str):
        return Asked(arguments, arguments.encode("utf-8", "replace").decode())
    if arguments is not None and not isinstance(arguments, Mapping):
        return Asked(arguments, cut(repr(arguments), most))
    try:
        text = canonical(arguments or {})
    except (TypeError, ValueError, RecursionError) as error:
        return Asked(None, "{}", f"the arguments cannot be told in JSON: {error}")
    if not text.isascii():
        text, arguments = _in_unicode(text, arguments or {})
    return _too_much(text, most) if len(text) > most else Asked(arguments, text)


def _parsed(text: str) -> Mapping[str, Any] | str:
    """The object that ``text`` is; what is none is told of when it is held against the schema."""
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _in_unicode(text: str, arguments: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Without halves of characters, which models write and nothing can store."""
    whole = text.encode("utf-8", "replace").decode()
    return (text, arguments) if whole == text else (whole, plain(dict(arguments)))


def _too_much(text: str, most: int) -> Asked:
    return Asked(
        None,
        cut(text.encode("utf-8", "replace").decode(), most),
        f"the arguments have {len(text):,} characters, more than the {most:,} that a call may "
        "have; send less at once",
    )
