"""A command as a box is asked for it, and what no command can look like."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from codin.errors import InvalidInputError
from codin.sandbox.base import LIMITED, WORKSPACE, Limits

MAX_WORD = 128 * 1024 - 1
"""The most bytes of one word of a command: the kernel takes no more."""
MAX_WORDS = 1024 * 1024
"""The most bytes of a whole command with its environment: some is left for what starts it."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a box runs, under limits that hold for all of it.

    ``cwd`` is absolute, inside. ``stdin`` is whether its input is written to; as a number, the
    descriptor that is its input. ``leave`` lets what it leaves behind go on after its end.

    Raises:
        InvalidInputError: no command can look so.
    """

    argv: Sequence[str]
    limits: Limits
    cwd: str = WORKSPACE
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bool | int = False
    leave: bool = False

    def __post_init__(self) -> None:
        argv, env = self.argv, self.env
        if isinstance(argv, str):
            raise InvalidInputError(f"a command is a list of words, not one text: {argv[:50]!r}")
        if not argv or not argv[0] or str(argv[0]).startswith("-"):
            raise InvalidInputError("a command begins with the name of a program")
        sizes = [len(_word(text)) for text in (*argv, *env.keys(), *env.values())]
        if max(sizes) > MAX_WORD or sum(sizes) + len(sizes) > MAX_WORDS:
            raise InvalidInputError(
                f"a command has {MAX_WORDS} bytes at most, and {MAX_WORD} a word: "
                "give more by a file, or by stdin"
            )
        if bad := [name for name in env if not name or "=" in name]:
            raise InvalidInputError(f"{bad[0]!r} is no name of a variable")


def inside(cwd: str) -> str:
    """A working directory as an absolute path inside. Raises ``InvalidInputError``."""
    _word(cwd)
    return os.path.normpath(os.path.join(WORKSPACE, cwd))


def tightest(own: Limits, asked: Limits | None) -> Limits:
    """``own``, with whatever ``asked`` narrows."""
    if asked is None:
        return own
    narrowed = {
        name: min(values)
        for name in LIMITED
        if (values := [v for v in (getattr(own, name), getattr(asked, name)) if v is not None])
    }
    return replace(own, **narrowed)


def _word(text: str) -> bytes:
    """The bytes of a word of a command. Raises ``InvalidInputError`` when it has none."""
    if not isinstance(text, str):
        raise InvalidInputError(f"a command is made of text, not of {text!r:.50}")
    if "\0" in text:
        raise InvalidInputError(f"a command holds no zero byte: {text[:50]!r}")
    try:
        return os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"a command is made of text, not of {text[:50]!r}") from error
