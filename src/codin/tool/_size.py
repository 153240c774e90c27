"""How much there is to go through in a value, told without going through it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any


def has_more(value: Any, items: int, chars: int | None = None) -> bool:
    """Whether there are more than so many items in ``value``, in all its lists and objects, or
    (roughly) texts of so many characters among them. Looks no further than that."""
    left, waiting = items, [value]
    per_item = None if chars is None else max(chars // items, 1)
    while waiting and left >= 0:
        one = waiting.pop()
        if isinstance(one, dict):
            left -= len(one)
            waiting.extend(islice(one.values(), max(left, 0)))
        elif isinstance(one, (list, tuple)):
            left -= len(one)
            waiting.extend(one[: max(left, 0)])
        elif per_item is not None and isinstance(one, str):
            left -= len(one) // per_item
    return left < 0


def is_deep(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested in ``value`` more than so many levels; those that are in
    themselves are. Looks no further than that."""
    level: dict[int, Any] = {id(value): value}
    for _ in range(levels + 1):
        level = {id(inner): inner for one in level.values() for inner in _inside(one)}
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
