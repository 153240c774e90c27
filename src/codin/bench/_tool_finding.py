"""The ten tools of 2,000 that fit a question."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from codin.bench._pairs import MS, Pair, at_most, timed, typical

if TYPE_CHECKING:
    from codin.tool import ToolSpec

TOOLS = 2000
_MOST_MS = 10
_QUESTIONS = 30
_VERBS = ("list", "create", "update", "delete", "archive", "export", "merge", "approve")
_THINGS = ("invoice", "branch", "issue", "customer", "shipment", "ticket", "release", "payment")
_WAYS = ("for a team", "of a project", "by its number", "in a folder", "since a day", "at once")
_QUERY = "archive a shipment by its number"
_WANTED = "archive_shipment"


@asynccontextmanager
async def finding(effort: object) -> AsyncIterator[list[Pair]]:
    """``find_tools`` over the registry, beside a scan of the same descriptions for the words."""
    from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer
    from codin.tool.finding.search import ToolSearch
    from codin.tool.invocation import Invocation, RunnableTool
    from codin.tool.registry import ToolRegistry

    class Described(RunnableTool):
        def __init__(self, spec: ToolSpec) -> None:
            self.name, self.spec = spec.name, spec

        async def run(self, call: Invocation) -> Any:
            return None

    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES), [Described(s) for s in _specs()])
    search = ToolSearch(registry)
    known = {tool.name: tool for tool in registry.list(LOCAL_USER)}
    specs = [tool.spec for tool in known.values()]
    await search.find(_QUERY, known)  # the index is made with the first question

    async def found() -> str:
        return _kind((await search.find(_QUERY, known))[0])

    async def scanned() -> str:
        return _kind(_scanned(specs)[0])

    yield [
        Pair(
            "find_tools 2000",
            "ms",
            partial(typical, partial(timed, found, _WANTED), _QUESTIONS, MS),
            "scan",
            partial(typical, partial(timed, scanned, _WANTED), _QUESTIONS, MS),
            at_most(_MOST_MS, "ms"),
        )
    ]


def _specs() -> list[ToolSpec]:
    from codin.tool.base import ToolSpec

    made = []
    for number in range(TOOLS):
        verb = _VERBS[number % 8]
        thing = _THINGS[number // 8 % 8]
        way = _WAYS[number % 6]
        about = f"{verb.capitalize()} the {thing} {way}, with all that belongs to it."
        made.append(ToolSpec(name=f"{verb}_{thing}_{number}", description=about))
    return made


def _kind(spec: ToolSpec) -> str:
    return spec.name.rpartition("_")[0]


def _scanned(specs: Sequence[ToolSpec]) -> list[ToolSpec]:
    words = [word for word in _QUERY.split() if len(word) > 3]

    def fit(spec: ToolSpec) -> int:
        text = f"{spec.name} {spec.description}".lower()
        return sum(text.count(word) for word in words)

    return sorted(specs, key=fit, reverse=True)[:10]
