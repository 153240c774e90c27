"""Schemas as CrewAI can take them: it writes what a reference leads to in its place, to the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote


def without_circles(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema``, in which anything may stand where it would lead back into itself. The platform
    holds what is called against the whole schema."""
    circles = _Circles(schema)
    circles.look(schema)
    return dict(_copied(schema, circles.found)) if circles.found else schema


class _Circles:
    """``found`` has the ids of the parts whose reference leads back to where one comes from."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.found: set[int] = set()
        self._root = root
        self._above: set[int] = set()
        self._done: set[int] = set()

    def look(self, part: Any) -> None:
        if not isinstance(part, dict | list) or id(part) in self._done:
            return
        self._above.add(id(part))
        for inner in _inside(part):
            self.look(inner)
        target = _target(self._root, part)
        if id(target) in self._above:
            self.found.add(id(part))
        elif target is not None:
            self.look(target)
        self._above.discard(id(part))
        self._done.add(id(part))


def _inside(part: Any) -> Iterator[Any]:
    yield from part.values() if isinstance(part, dict) else part


def _target(root: dict[str, Any], part: Any) -> Any:
    """What the reference in ``part`` leads to; none where it has none."""
    reference = part.get("$ref") if isinstance(part, dict) else None
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for name in map(unquote, reference[1:].split("/")[1:]):
        key = name.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(key)] if key.isdecimal() and int(key) < len(found) else None
        else:
            found = found.get(key) if isinstance(found, dict) else None
    return found


def _copied(part: Any, left_out: set[int]) -> Any:
    if isinstance(part, list):
        return [_copied(inner, left_out) for inner in part]
    if not isinstance(part, dict):
        return part
    if id(part) in left_out:
        return {key: part[key] for key in ("title", "description") if key in part}
    return {key: _copied(inner, left_out) for key, inner in part.items()}
