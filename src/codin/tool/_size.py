"""How much there is to go through in a value, told without going through it."""

from __future__ import annotations

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
