"""Many tools for one agent: it is given three to look for the others with, and to call them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from codin.tool.arguments import example, fit
from codin.tool.base import Effects, InvalidArguments, ToolLimits, ToolSpec, UnknownTool
from codin.tool.finding.granted import GrantedTools
from codin.tool.finding.meanings import Embedder
from codin.tool.finding.search import ToolSearch
from codin.tool.invocation import Invocation, RunnableTool
from codin.tool.registry import CALL, DESCRIBE, FIND, FINDING, ToolRegistry, unknown

if TYPE_CHECKING:
    from codin.security import RunGrant

SHOWN = 40
"""Of more tools than this, an agent is shown those of no namespace only."""

_MOST_FOUND = 25
_LINE_CHARS = 200
_ARGUMENTS_NAMED = 20
_SCHEMA_CHARS = 32_000


class ToolFinding:
    """What a run is shown of its tools, and what it may call by which name.

    When a grant has more than ``shown`` tools, those of namespaces (of APIs, of MCP servers) are
    not shown one by one: in their place are ``find_tools``, ``describe_tool`` and ``call_tool``.
    All three see what the grant allows and nothing else. A tool that is not shown may be called by
    its own name as well.
    """

    def __init__(
        self,
        registry: ToolRegistry,
        granted: GrantedTools,
        *,
        shown: int = SHOWN,
        embedder: Embedder | None = None,
    ) -> None:
        self._registry = registry
        self._granted = granted
        self._shown = shown
        self._search = ToolSearch(registry, embedder=embedder)
        self._own: dict[str, RunnableTool] = {
            FIND: FindTools(self),
            DESCRIBE: DescribeTool(self),
        }

    def specs(self, grant: RunGrant) -> list[ToolSpec]:
        """What the agent of ``grant`` is shown, by name."""
        specs = [tool.spec for tool in self._granted.all(grant).values()]
        if len(specs) <= self._shown:
            return specs
        sources = self._namespaces(specs)
        if not sources:
            return specs
        shown = [spec for spec in specs if not self._registry.namespace(spec.name)]
        about = f"{FIND_SPEC.description} There are tools of: {_counted(sources)}."
        found = FIND_SPEC.model_copy(update={"description": about})
        return sorted([*shown, found, DESCRIBE_SPEC, CALL_SPEC], key=lambda spec: spec.name)

    def get(self, grant: RunGrant, name: str) -> RunnableTool:
        """The tool that ``grant`` may call by ``name``.

        Raises:
            RunEnded, UnknownTool: as ``GrantedTools.get``.
        """
        if name in self._own and self._looks(grant):
            self._granted.check_open(grant)
            return self._own[name]
        return self._one(grant, name)

    def meant(
        self, grant: RunGrant, name: str, arguments: Mapping[str, Any] | str | None
    ) -> tuple[str, Mapping[str, Any] | str | None]:
        """The call that is meant: the one inside of a ``call_tool``, any other as it is.

        Raises:
            InvalidArguments: it does not say which tool, or says one of the three.
        """
        if name != CALL or not self._looks(grant):
            return name, arguments
        asked = fit(CALL_SPEC, arguments)
        if asked["name"] in FINDING:
            raise InvalidArguments(f"{CALL}: call {asked['name']} itself, not by {CALL}")
        return asked["name"], asked.get("arguments", {})

    async def search(self, grant: RunGrant, query: str, most: int) -> list[ToolSpec]:
        """The grant's tools that fit ``query`` best, the best first."""
        return await self._search.find(query, self._granted.all(grant), most=most)

    def sources(self, grant: RunGrant) -> str:
        """The namespaces among the grant's tools, each with how many it has, in words."""
        return _counted(self._namespaces(self._all(grant)))

    def describe(self, grant: RunGrant, name: str) -> ToolSpec:
        """What is known of a tool of the grant's.

        Raises:
            RunEnded, UnknownTool: as ``GrantedTools.get``.
        """
        return self._one(grant, name).spec

    def _one(self, grant: RunGrant, name: str) -> RunnableTool:
        try:
            return self._granted.get(grant, name)
        except UnknownTool:
            known = self._granted.all(grant)
            if len(known) <= self._shown or not self._looks(grant):
                raise
            raise unknown(name, known, f"Look for others with {FIND}.") from None

    def _all(self, grant: RunGrant) -> list[ToolSpec]:
        return [tool.spec for tool in self._granted.all(grant).values()]

    def _looks(self, grant: RunGrant) -> bool:
        # Also when they have become few meanwhile: the run was given the three before.
        return any(map(self._registry.namespace, self._granted.all(grant)))

    def _namespaces(self, specs: list[ToolSpec]) -> Counter[str]:
        namespaces = Counter(self._registry.namespace(spec.name) for spec in specs)
        del namespaces[""]
        return namespaces


class FindTools(RunnableTool):
    """``find_tools``: those that fit some words."""

    def __init__(self, finding: ToolFinding) -> None:
        self.name, self.spec = FIND, FIND_SPEC
        self._finding = finding

    async def run(self, call: Invocation) -> Any:
        """Search the tools of the call's grant."""
        query = call.arguments["query"]
        found = await self._finding.search(call.grant, query, call.arguments.get("most", 10))
        if found:
            return [_line(spec) for spec in found]
        sources = self._finding.sources(call.grant)
        return f"Nothing fits {query[:80]!r}. Try other words. There are tools of: {sources}."


class DescribeTool(RunnableTool):
    """``describe_tool``: all that has to be known to call one."""

    def __init__(self, finding: ToolFinding) -> None:
        self.name, self.spec = DESCRIBE, DESCRIBE_SPEC
        self._finding = finding

    async def run(self, call: Invocation) -> Any:
        """Describe a tool of the call's grant."""
        spec = self._finding.describe(call.grant, call.arguments["name"])
        return {
            "name": spec.name,
            "description": spec.description,
            "arguments": spec.input_schema,
            CALL: {"name": spec.name, "arguments": json.loads(example(spec))},
        }


def _line(spec: ToolSpec) -> dict[str, str]:
    """A tool in few words: each costs the one who reads it."""
    lines = spec.description.split("\n", 2)[: 2 if spec.deprecated else 1]
    required = spec.input_schema.get("required", ())
    named = [
        name if name in required else f"{name}?" for name in spec.input_schema.get("properties", {})
    ]
    # What is needed first: where there are many, the rest is in the description.
    named.sort(key=lambda name: name.endswith("?"))
    more = ["..."] if len(named) > _ARGUMENTS_NAMED else []
    return {
        "name": spec.name,
        "description": " ".join(lines)[:_LINE_CHARS],
        "arguments": ", ".join([*named[:_ARGUMENTS_NAMED], *more]),
    }


def _counted(namespaces: Counter[str]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(namespaces.items())) or "none"


def _spec(
    name: str,
    description: str,
    properties: Mapping[str, Any],
    *required: str,
    limits: ToolLimits | None = None,
    effects: Effects = "none",
) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=description,
        input_schema={
            "type": "object",
            "properties": dict(properties),
            "required": list(required),
            "additionalProperties": False,
        },
        origin="builtin",
        limits=limits or ToolLimits(),
        effects=effects,
        trusted=True,
    )


FIND_SPEC = _spec(
    FIND,
    "Find tools that are not listed here, by what they do. Call one with call_tool.",
    {
        "query": {
            "type": "string",
            "minLength": 1,
            "description": "what is to be done, in a few words",
        },
        "most": {
            "type": "integer",
            "minimum": 1,
            "maximum": _MOST_FOUND,
            "default": 10,
            "description": "how many to give",
        },
    },
    "query",
)
DESCRIBE_SPEC = _spec(
    DESCRIBE,
    "Tell what a tool that was found does, and the arguments that it takes.",
    {"name": {"type": "string", "description": "the tool's name"}},
    "name",
    limits=ToolLimits(result_chars=_SCHEMA_CHARS),
)
CALL_SPEC = _spec(
    CALL,
    "Call a tool that was found.",
    {
        "name": {"type": "string", "description": "the tool's name"},
        "arguments": {"type": "object", "description": "its arguments", "default": {}},
    },
    "name",
    effects="once",  # or whatever reads this would take all that it calls for harmless
)
