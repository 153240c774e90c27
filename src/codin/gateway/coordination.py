"""Agents that work with other agents: the routers and supervisors of the settings, and the tools
that are agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from codin.agent.base import Agent, AgentError, AgentInfo
from codin.agent.registry import AgentRegistry
from codin.agent.router import Router, router_info
from codin.agent.supervisor import Bounds, Supervisor, supervisor_info
from codin.config import RouterSettings, Settings, SupervisorSettings
from codin.gateway.team import TeamProblem
from codin.model.base import ModelClient
from codin.model.record import ModelRecord
from codin.model.recorded import RecordedModel
from codin.security import LOCAL_USER, Principal
from codin.tool.agent import (
    AGENT_TOOL,
    AgentBehind,
    AgentCaller,
    AgentTool,
    HandOffTool,
    agents_among,
)
from codin.tool.base import ToolError
from codin.tool.invocation import RunnableTool
from codin.tool.registry import ToolRegistry
from codin.tool.telling import TELL, Tell, TellTool

Known = Callable[[Principal], Sequence[AgentInfo]]


def coordinators(
    settings: Settings, known: Known, model: ModelClient, record: ModelRecord
) -> Iterator[Agent]:
    """The routers and supervisors of ``settings``. ``known`` gives the agents of a principal; in
    ``record`` is what supervisors were answered."""
    for router in settings.routers:
        info = router_info(router.id, router.name, router.description)
        yield Router(info, router.agents, known, model if router.model else None)
    for one in settings.supervisors:
        info = supervisor_info(one.id, one.agents, one.name, one.description)
        bounds = Bounds(one.rounds, one.at_once)
        asked = RecordedModel(model, record)
        yield Supervisor(info, asked, instructions=one.instructions, bounds=bounds)


def coordinator_infos(settings: Settings) -> tuple[AgentInfo, ...]:
    """What is shown of the routers and supervisors of ``settings``."""
    routers = (router_info(one.id, one.name, one.description) for one in settings.routers)
    supervisors = (
        supervisor_info(one.id, one.agents, one.name, one.description)
        for one in settings.supervisors
    )
    return (*routers, *supervisors)


def register_coordinators(
    settings: Settings,
    agents: AgentRegistry,
    model: ModelClient,
    record: ModelRecord | None = None,
) -> list[TeamProblem]:
    """Register the routers and supervisors of ``settings``; gives what is wrong with them."""
    problems = []
    for agent in coordinators(settings, agents.infos, model, record or ModelRecord()):
        try:
            agents.register(agent)
        except AgentError as error:
            problems.append(TeamProblem(_shown(settings, agent.id), str(error)))
    there = _ids(agents)
    entries: list[RouterSettings | SupervisorSettings] = [*settings.routers, *settings.supervisors]
    for entry in entries:
        problems += [
            TeamProblem(_shown(settings, entry.id), _nobody(agent, there))
            for agent in entry.agents
            if agent not in there
        ]
    return problems


class AgentTools:
    """Keeps a tool in ``tools`` for each agent that another one asks for or hands off to, whichever
    agents come and go; and where there is ``tell``, the one that tells new facts, if an agent asks
    for it. A call takes no longer than ``seconds``. What cannot be had is among ``problems``."""

    def __init__(
        self,
        tools: ToolRegistry,
        agents: AgentRegistry,
        caller: AgentCaller,
        *,
        seconds: float,
        tell: Tell | None = None,
    ) -> None:
        self.problems: list[TeamProblem] = []
        self._tools = tools
        self._agents = agents
        self._caller = caller
        self._seconds = seconds
        self._tell = tell
        self._registered: list[str] = []
        self._refresh()
        agents.listen(self._refresh)

    def _refresh(self) -> None:
        for name in self._registered:
            self._tools.unregister(name)
        self._registered.clear()
        infos = self._agents.infos(LOCAL_USER)
        there = {info.id: AgentBehind(info.id, info.name, info.description) for info in infos}
        asked = [(info.id, agent) for info in infos for agent in agents_among(info.tools)]
        handed = [(info.id, agent) for info in infos for agent in info.hands_off_to]
        self.problems[:] = [
            *missing_agents(infos),
        ]
        for agent in _known(asked, there):
            self._register(AgentTool(there[agent], self._caller, seconds=self._seconds))
        for agent in _known(handed, there):
            self._register(HandOffTool(there[agent], self._caller))
        if self._tell and any(TELL in info.tools for info in infos):
            self._register(TellTool(self._tell))

    def _register(self, tool: RunnableTool) -> None:
        try:
            self._tools.register(tool)
        except ToolError as error:
            self.problems.append(TeamProblem(f"tool {tool.name}", str(error)))
        else:
            self._registered.append(tool.name)


def missing_agents(infos: Sequence[AgentInfo]) -> Iterator[TeamProblem]:
    """The agents that those of ``infos`` ask for or hand off to, and that are not among them."""
    there = [info.id for info in infos]
    asked = [(info.id, agent) for info in infos for agent in agents_among(info.tools)]
    handed = [(info.id, agent) for info in infos for agent in info.hands_off_to]
    yield from _missing(asked, there, f"asks for the tool {AGENT_TOOL}")
    yield from _missing(handed, there, "hands off to ")


def _known(pairs: Iterable[tuple[str, str]], there: Iterable[str]) -> list[str]:
    return sorted({agent for _, agent in pairs if agent in there})


def _missing(
    pairs: Iterable[tuple[str, str]], there: Iterable[str], what: str
) -> Iterator[TeamProblem]:
    for who, agent in pairs:
        if agent not in there:
            said = f"{what}{agent}, and {_nobody(agent, there)}"
            yield TeamProblem(who, said, left_out=False)


def _nobody(agent: str, there: Iterable[str]) -> str:
    return f"there is no agent {agent!r}; there are: {', '.join(sorted(there)) or 'none'}"


def _ids(agents: AgentRegistry) -> list[str]:
    return [info.id for info in agents.infos(LOCAL_USER)]


def _shown(settings: Settings, agent_id: str) -> str:
    kind = "router" if any(one.id == agent_id for one in settings.routers) else "supervisor"
    return f"{kind} {agent_id}"
