"""A command line with places in it for arguments: each stays one argument, whatever is in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from codin.tool.base import InvalidArguments, ToolDefinitionError

_MOST_BYTES = 100_000
"""Of one argument. Linux takes 128 KiB."""


@dataclass(frozen=True, slots=True)
class Argument:
    """What may stand in a place.

    ``schema`` is its JSON Schema. One that is ``optional`` may be left out, and what it stands in
    is then left out with it. With ``dashes`` it may begin with a dash where it begins an argument
    of the command: programs read such as options. ``flag`` stands in the place of a boolean that
    is true; one that is false leaves its place out.
    """

    schema: Mapping[str, Any]
    optional: bool = False
    dashes: bool = False
    flag: str | None = None

    @property
    def is_list(self) -> bool:
        """Whether it is a list, whose items are arguments each."""
        return self.schema.get("type") == "array"

    def text(self, value: Any) -> str | None:
        """``value`` as a command is given it; ``None`` leaves its place out."""
        if self.flag is not None:
            return self.flag if value else None
        if isinstance(value, bool):
            return "true" if value else "false"
        kind = self.schema.get("items", {}) if self.is_list else self.schema
        return str(int(value)) if kind.get("type") == "integer" else str(value)


@dataclass(frozen=True, slots=True)
class _Word:
    """One argument of the command: literal text and the places between it, in their order."""

    parts: tuple[tuple[str, str | None], ...]

    @property
    def places(self) -> list[str]:
        return [place for _, place in self.parts if place is not None]

    @property
    def begins_with_place(self) -> bool:
        return bool(self.parts) and self.parts[0][0] == "" and self.parts[0][1] is not None


class ArgvTemplate:
    """``argv`` with ``{name}`` where arguments go; ``{{`` and ``}}`` are braces.

    A place is a whole argument of the command or a part of one, never more than one; no shell sees
    any of it. Words that stand in a list of their own, such as ``["-n", "{count}"]``, go together:
    they are left out when what one of them needs is not given, and repeated for each item where
    that is a list.

    Raises:
        ToolDefinitionError: it cannot be used; the message names what stands in the way.
    """

    def __init__(
        self, argv: Sequence[str | Sequence[str]], arguments: Mapping[str, Argument]
    ) -> None:
        self._arguments = dict(arguments)
        self._groups = [
            [self._word(one) for one in ([item] if isinstance(item, str) else item)]
            for item in argv
        ]
        if not argv or not isinstance(argv[0], str) or not argv[0] or self._groups[0][0].places:
            raise ToolDefinitionError(
                "argv has to begin with the name of a program, written out: who calls does not "
                "choose it"
            )
        for group in self._groups:
            self._check(group)

    @property
    def places(self) -> frozenset[str]:
        """The names of the arguments that stand in it."""
        return frozenset(place for group in self._groups for word in group for place in word.places)

    def filled(self, values: Mapping[str, Any]) -> list[str]:
        """The command with ``values``, which fit their schemas.

        Raises:
            InvalidArguments: one of them cannot be an argument of a command, or would be read as
                an option.
        """
        return [word for group in self._groups for word in self._filled(group, values)]

    def _filled(self, group: list[_Word], values: Mapping[str, Any]) -> Iterator[str]:
        places = [place for word in group for place in word.places]
        if any(place not in values for place in places):
            return
        listed = next((place for place in places if self._arguments[place].is_list), None)
        for value in values[listed] if listed else [None]:
            given = {place: value if place == listed else values[place] for place in places}
            texts = {place: self._text(place, given[place]) for place in places}
            said = {place: text for place, text in texts.items() if text is not None}
            if len(said) == len(texts):
                yield from [self._one(word, said) for word in group]

    def _one(self, word: _Word, texts: Mapping[str, str]) -> str:
        text = "".join(literal + (texts[place] if place else "") for literal, place in word.parts)
        if word.begins_with_place and text.startswith("-"):
            first = word.places[0]
            argument = self._arguments[first]
            if not argument.dashes and argument.flag is None:
                raise InvalidArguments(
                    f"argument '{first}' may not make {text[:80]!r}, which begins with '-': the "
                    "program would read it as an option"
                )
        return text

    def _text(self, place: str, value: Any) -> str | None:
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidArguments(f"argument '{place}' has to be a number, not {value}")
        text = self._arguments[place].text(value)
        if text is None:
            return None
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidArguments(f"argument '{place}' is no text: {error.reason}") from error
        if "\0" in text:
            raise InvalidArguments(f"argument '{place}' has a NUL character in it; leave it out")
        if size > _MOST_BYTES:
            raise InvalidArguments(
                f"argument '{place}' has {size:,} bytes, more than the {_MOST_BYTES:,} that an "
                "argument of a command may have; write it to a file"
            )
        return text

    def _word(self, text: str) -> _Word:
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise ToolDefinitionError(
                f"{text!r} in argv: {error}; write {{{{ and }}}} for braces that are no place"
            ) from error
        for _, place, form, conversion in parsed:
            if place is not None and (place not in self._arguments or form or conversion):
                known = ", ".join(self._arguments) or "none"
                raise ToolDefinitionError(
                    f"{text!r} in argv has a place for {place!r}, which is no argument; there are: "
                    f"{known}"
                )
        return _Word(tuple((literal, place) for literal, place, _, _ in parsed))

    def _check(self, group: list[_Word]) -> None:
        lists = {place for word in group for place in word.places if self._arguments[place].is_list}
        if len(lists) > 1:
            raise ToolDefinitionError(
                f"the lists {' and '.join(sorted(lists))} stand together in argv: only one of them "
                "can be repeated"
            )
        for word in group:
            for place in word.places:
                if self._arguments[place].flag is not None and word.parts != (("", place),):
                    raise ToolDefinitionError(
                        f"{{{place}}} in argv stands for a flag, and has to stand alone"
                    )
