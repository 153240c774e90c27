"""Patterns over permission names, and when one says no more than another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from codin.errors import InvalidInputError

NOTHING = frozenset({"nothing"})
"""Scopes that allow nothing: an empty set would narrow nothing instead."""


def covers(wide: str, narrow: str) -> bool:
    """Whether the pattern ``wide`` allows all that the pattern ``narrow`` allows.

    May say no where it is so, never yes where it is not. Only ``*`` generalises: ``?`` and ``[``
    would match the star of the narrower pattern as if it were one character.
    """
    if wide == narrow:
        return True
    return not set(wide) & set("?[") and fnmatchcase(narrow, wide)


def covered(wide: Iterable[str], narrow: Iterable[str]) -> bool:
    """Whether each of ``narrow`` is covered by one of ``wide``."""
    patterns = tuple(wide)
    return all(any(covers(pattern, each) for pattern in patterns) for each in narrow)


def common(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """What both allow, where an empty set narrows nothing; ``NOTHING`` when they share nothing."""
    if not one or not other:
        return one or other
    kept = {each for each in one if covered(other, [each])}
    kept |= {each for each in other if covered(one, [each])}
    return frozenset(kept) or NOTHING


_FORM = re.compile(r"[^\s*?\[\]]{1,200}\*?|\*")
_MOST = 100


def checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """``scopes``, each a permission or the beginning of one with a star at its end.

    Two of these are disjoint or one covers the other, so that what they share is exact.

    Raises:
        InvalidInputError: one of them has another form, or there are more than 100.
    """
    checked = frozenset(scopes)
    for scope in sorted(checked):
        if _FORM.fullmatch(scope) is None:
            raise InvalidInputError(
                f"{scope!r} is no scope: give a permission (agent.use:echo) or the beginning of "
                "one and a star (tool.call:*)"
            )
    if len(checked) > _MOST:
        raise InvalidInputError(f"{len(checked)} scopes are too many: at most {_MOST}")
    return checked
