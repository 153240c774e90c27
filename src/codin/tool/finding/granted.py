"""The tools that a run may call: those that its grant names, as far as its principal may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from codin.security import Principal, RunGrant
from codin.steady_clock import steady_time
from codin.tool.base import RunEnded, UnknownTool
from codin.tool.invocation import RunnableTool
from codin.tool.registry import ToolRegistry, unknown, version_key

_REMEMBERED = 256

_Key = tuple[Principal, frozenset[str], frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What names of tools say: names, one version each (``pins``, by name), and patterns."""

    names: frozenset[str]
    pins: Mapping[str, tuple[str, ...]]
    patterns: tuple[str, ...]

    @classmethod
    @lru_cache(_REMEMBERED)
    def of(cls, tools: frozenset[str]) -> Wanted:
        """What ``tools`` say."""
        patterns = tuple(sorted(each for each in tools if not set(each).isdisjoint("*?[")))
        exact = tools.difference(patterns)
        pins: dict[str, tuple[str, ...]] = {}
        for each in sorted(one for one in exact if "@" in one):
            name = each.partition("@")[0]
            pins[name] = (*pins.get(name, ()), each)
        return cls(frozenset(one for one in exact if "@" not in one), pins, patterns)

    def has(self, name: str) -> bool:
        """Whether the tool ``name`` is named, or fits a pattern."""
        return name in self.names or name in self.pins or self.fits(name)

    def fits(self, name: str) -> bool:
        """Whether one of the patterns stands for the tool ``name``."""
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)


class GrantedTools:
    """Answers from the registry, for a grant.

    A grant names tools (``read_file``), one version of a tool (``read_file@2``, which the run then
    sees as ``read_file``), or patterns (``github_*``). No pattern stands for an agent: those are
    given by name alone.
    """

    def __init__(self, registry: ToolRegistry, clock: Callable[[], float] = steady_time) -> None:
        self._registry = registry
        self._clock = clock
        self._known: dict[_Key, Mapping[str, RunnableTool]] = {}
        self._revision = registry.revision

    def all(self, grant: RunGrant) -> Mapping[str, RunnableTool]:
        """The tools that ``grant`` may call now, by the name that its run knows them by; sorted."""
        if self._revision != self._registry.revision:
            self._known.clear()
            self._revision = self._registry.revision
        key = (grant.principal, grant.tools, grant.only)
        if (known := self._known.get(key)) is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._matched(grant)
        return known

    def get(self, grant: RunGrant, name: str) -> RunnableTool:
        """The tool ``name``, if ``grant`` may call it now.

        Raises:
            RunEnded: the grant has expired.
            UnknownTool: it may not, or there is none; the message is the same.
        """
        self.check_open(grant)
        tool = self._one(grant, name)
        if tool is None:
            raise self.unknown(grant, name)
        return tool

    def check_open(self, grant: RunGrant) -> None:
        """Return while ``grant`` has not expired.

        Raises:
            RunEnded: it has.
        """
        if grant.expires_at <= self._clock():
            raise RunEnded(f"the run of task {grant.task_id} is over: its tools are closed")

    def unknown(self, grant: RunGrant, name: str) -> UnknownTool:
        """The error for a tool that ``grant`` may not call."""
        return unknown(name, self.all(grant))

    def _one(self, grant: RunGrant, name: str) -> RunnableTool | None:
        # Asked of the registry, and by it of the authorizer, at each call; nothing is remembered.
        if grant.only is not None and not Wanted.of(grant.only).has(name):
            return None
        wanted = Wanted.of(grant.tools)
        if name in wanted.pins:
            found = [self._registry.find(grant.principal, pin) for pin in wanted.pins[name]]
            there = [tool for tool in found if tool is not None]
            return max(there, key=lambda tool: version_key(tool.spec.version), default=None)
        tool = self._registry.find(grant.principal, name) if "@" not in name else None
        if tool is None or name in wanted.names:
            return tool
        return tool if tool.spec.origin != "agent" and wanted.fits(name) else None

    def _matched(self, grant: RunGrant) -> Mapping[str, RunnableTool]:
        wanted = Wanted.of(grant.tools)
        names = {*wanted.names, *wanted.pins}
        if wanted.patterns:
            visible = self._registry.list(grant.principal)
            names |= {tool.spec.name for tool in visible if wanted.fits(tool.spec.name)}
        found = {name: self._one(grant, name) for name in sorted(names)}
        return {name: tool for name, tool in found.items() if tool is not None}
