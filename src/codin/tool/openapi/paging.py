"""The page after a page: by the answer's links, or by a cursor in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from codin.tool.openapi.client import Answer
from codin.tool.openapi.operation import Operation

_CURSORS = (
    ("next_cursor",),
    ("nextCursor",),
    ("next_page_token",),
    ("nextPageToken",),
    ("next_token",),
    ("nextToken",),
    ("next_marker",),
    ("response_metadata", "next_cursor"),
    ("meta", "next_cursor"),
    ("paging", "next", "after"),
    ("paging", "cursors", "after"),
    ("pagination", "next_cursor"),
    ("cursor",),
)
"""Where answers have the cursor of the next page."""
_TAKES = (
    "cursor",
    "page_token",
    "pageToken",
    "next_token",
    "nextToken",
    "after",
    "marker",
    "start_cursor",
)
"""What the parameter is called that takes it."""
_LISTS = ("data", "items", "results", "entries", "values", "records")


def next_arguments(
    operation: Operation, arguments: Mapping[str, Any], answer: Answer, value: Any
) -> dict[str, Any] | None:
    """What ``operation`` has to be called with for the page that follows ``answer``, if any."""
    if operation.method != "GET":
        return None
    changed = (
        _by_link(operation, answer)
        or _by_cursor(operation, arguments, value)
        or _by_last_one(operation, value)
    )
    return {**arguments, **changed} if changed else None


def items_of(value: Any) -> list[Any] | None:
    """The list that a page is, or has."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping):
        return None
    for key in _LISTS:
        if isinstance(value.get(key), list):
            return list(value[key])
    lists = [inner for inner in value.values() if isinstance(inner, list)]
    return list(lists[0]) if len(lists) == 1 else None


def _queries(operation: Operation) -> dict[str, str]:
    """The arguments of the query's parameters, by the parameters' names."""
    return {p.name: p.argument for p in operation.parameters if p.place == "query"}


def _by_link(operation: Operation, answer: Answer) -> dict[str, Any] | None:
    # Only what it says of parameters is taken: the address itself might lead anywhere.
    link = answer.links.get("next")
    if link is None:
        return None
    try:
        asked = httpx.URL(link).params
    except httpx.InvalidURL:
        return None
    known = _queries(operation)
    found = {known[name]: _number(asked[name]) for name in asked if name in known}
    return found or None


def _by_cursor(
    operation: Operation, arguments: Mapping[str, Any], value: Any
) -> dict[str, Any] | None:
    known = _queries(operation)
    takes = next((known[name] for name in _TAKES if name in known), None)
    if takes is None:
        return None
    for place in _CURSORS:
        cursor = _at(value, place)
        if isinstance(cursor, str | int) and cursor and cursor != arguments.get(takes):
            return {takes: cursor}
    return None


def _by_last_one(operation: Operation, value: Any) -> dict[str, Any] | None:
    """As Stripe does it: after the last that was seen, while there are more."""
    takes = _queries(operation).get("starting_after")
    if takes is None or not isinstance(value, Mapping) or value.get("has_more") is not True:
        return None
    last = next(_last_of(value), None)
    return {takes: last["id"]} if isinstance(last, Mapping) and last.get("id") else None


def _last_of(value: Mapping[str, Any]) -> Iterator[Any]:
    items = items_of(value)
    if items:
        yield items[-1]


def _at(value: Any, place: tuple[str, ...]) -> Any:
    for part in place:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _number(text: str) -> Any:
    return int(text) if text.isdecimal() and len(text) < 16 else text
