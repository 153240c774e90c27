"""What agents ask for among their tools that is not there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from codin.agent.base import AgentInfo
from codin.config import Settings
from codin.gateway.team import TeamProblem
from codin.gateway.tools import open_sources, register_tools
from codin.sandbox.base import SandboxProvider
from codin.security import DEFAULT_ROLES, OutgoingGuard, RoleAuthorizer
from codin.tool.agent import AGENT_TOOL
from codin.tool.finding.granted import Wanted
from codin.tool.registry import FINDING, ToolRegistry, nearest, version_key
from codin.tool.telling import TELL

_NEAR = 3


def unmet(infos: Iterable[AgentInfo], tools: ToolRegistry) -> Iterator[TeamProblem]:
    """What ``infos`` ask for that nothing in ``tools`` is now, with the names that are near.

    Agents among the tools are left to ``missing_agents``; the three that find are given to whoever
    has many, and the one that tells new facts to whoever asks for it.
    """
    known = _Known(tools)
    for info in infos:
        for asked in info.tools:
            if not asked.startswith(AGENT_TOOL) and asked not in (*FINDING, TELL):
                said = known.lack(asked)
                if said:
                    yield TeamProblem(info.id, said, left_out=False)


async def unmet_in(
    settings: Settings, infos: Iterable[AgentInfo], provider: SandboxProvider
) -> list[TeamProblem]:
    """What ``infos`` ask for that nothing of ``settings`` is, and what is wrong with the files of
    tools. Sources are opened only where the other tools will not do; ``provider`` gives the
    sandboxes of those that run in one."""
    infos = list(infos)
    at_hand = _registry()
    problems = register_tools(at_hand, settings)
    if not list(unmet(infos, at_hand)):
        return problems
    guard = OutgoingGuard(settings.security.outgoing)
    tools = _registry()
    async with open_sources(tools, settings, guard, provider):
        return [*problems, *unmet(infos, tools)]


def _registry() -> ToolRegistry:
    return ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))


class _Known:
    """The names in a registry as they are now."""

    def __init__(self, tools: ToolRegistry) -> None:
        self._versions: defaultdict[str, list[str]] = defaultdict(list)
        self._for_patterns: list[str] = []
        namespaces = set()
        for spec in tools.everything():
            self._versions[spec.name].append(spec.version)
            if spec.origin != "agent":
                self._for_patterns.append(spec.name)
            namespaces.add(tools.namespace(spec.name))
        self._namespaces = [f"{name}_*" for name in sorted(namespaces) if name]

    def lack(self, asked: str) -> str:
        """Why there is nothing for ``asked``; empty if there is something."""
        wanted = Wanted.of(frozenset([asked]))
        if wanted.patterns:
            if any(map(wanted.fits, self._for_patterns)):
                return ""
            near = [*self._namespaces, *self._versions]
            return f"asks for the tools {asked!r}, and there are none such{_guess(asked, near)}"
        name, at, version = asked.partition("@")
        versions = self._versions.get(name)
        if versions is None:
            return f"asks for the tool {asked!r}, and there is none{_guess(name, self._versions)}"
        if at and version_key(version) not in map(version_key, versions):
            return (
                f"asks for the tool {asked!r}, and there is no such version of it; there is: "
                f"{', '.join(versions)}"
            )
        return ""


def _guess(asked: str, names: Iterable[str]) -> str:
    near = nearest(asked, names, most=_NEAR)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
