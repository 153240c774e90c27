"""The agents of the settings, brought up: hosts started, remote ones named, problems kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codin.agent import wrap
from codin.agent.base import Agent, AgentInfo, Task
from codin.agent.host.launcher import AgentHost, AgentHosts
from codin.agent.host.packages import Environment
from codin.agent.host.process import HostState
from codin.agent.host.spec import HostLimits
from codin.agent.response import AgentResponse
from codin.agent.wrapping import info_of
from codin.config import AgentEntry
from codin.errors import CodinError
from codin.tool.base import Tool

Say = Callable[[str], None]


class DescribedAgent:
    """An agent under what the operator says of it instead of what it says itself."""

    def __init__(self, agent: Agent, info: AgentInfo) -> None:
        self._agent = agent
        self.info = info
        self.id, self.name, self.description = info.id, info.name, info.description
        self.tools: list[Tool] = agent.tools

    async def handle(self, task: Task) -> AgentResponse:
        return await self._agent.handle(task)


@dataclass(frozen=True, slots=True)
class TeamProblem:
    """What could not be brought up, and why: an agent, tools. The others go on without it. Where
    nothing is ``left_out``, the agent ``source`` is there, and lacks something."""

    source: str
    message: str
    left_out: bool = True

    def __str__(self) -> str:
        if self.left_out:
            return f"left out {self.source}: {self.message}"
        return f"{self.source} {self.message}"


@dataclass(frozen=True, slots=True)
class Member:
    """What came of one entry of the settings. A ``host`` is where its agents run."""

    entry: AgentEntry
    agents: tuple[Agent, ...] = ()
    problems: tuple[TeamProblem, ...] = ()
    host: AgentHost | None = None


class Team:
    """Who is there, and who is not, one member for each entry. ``others`` are problems of what is
    no entry of an agent."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)
        self.others: list[TeamProblem] = []

    @property
    def agents(self) -> tuple[Agent, ...]:
        """Those of all members; of two with one id, the first."""
        return tuple(self._sorted()[0].values())

    @property
    def problems(self) -> tuple[TeamProblem, ...]:
        """What could not be brought up, and why."""
        own = [problem for member in self.members for problem in member.problems]
        return (*own, *self._sorted()[1], *self.others)

    @property
    def infos(self) -> tuple[AgentInfo, ...]:
        """What is shown of the agents."""
        return tuple(info_of(agent) for agent in self.agents)

    async def states(self) -> dict[str, HostState]:
        """How each agent is, by its id: as its host is. One without a host is ready."""
        hosted = [member for member in self.members if member.host is not None]
        found = await asyncio.gather(*(m.host.state() for m in hosted if m.host is not None))
        of_hosts = {
            agent.id: state
            for member, state in zip(hosted, found, strict=True)
            for agent in member.agents
        }
        return {a.id: of_hosts.get(a.id, HostState("ready")) for a in self.agents}

    def _sorted(self) -> tuple[dict[str, Agent], list[TeamProblem]]:
        agents: dict[str, tuple[Agent, str]] = {}
        problems = []
        for member in self.members:
            source = member.entry.source
            for agent in member.agents:
                if agent.id in agents:
                    taken = (
                        f"the agent id {agent.id!r} is taken by {agents[agent.id][1]}; give one "
                        "of them another id"
                    )
                    problems.append(TeamProblem(source, taken))
                else:
                    agents[agent.id] = (agent, source)
        return {key: agent for key, (agent, _) in agents.items()}, problems


Remote = Callable[[AgentEntry], Agent]
"""Gives the agent at a URL."""


def _plainly(entry: AgentEntry) -> Agent:
    return wrap(entry.source)


async def bring_up(
    entries: Sequence[AgentEntry], hosts: AgentHosts, say: Say, remote: Remote = _plainly
) -> Team:
    """Start what ``entries`` name, all at once; ``remote`` gives an agent at a URL. Never raises
    for an agent that does not come up."""
    return Team(
        await asyncio.gather(*(bring_up_one(entry, hosts, say, remote) for entry in entries))
    )


async def bring_up_one(
    entry: AgentEntry, hosts: AgentHosts, say: Say, remote: Remote = _plainly
) -> Member:
    """Start what one entry names. What goes wrong is among the problems."""
    try:
        if entry.source.startswith(("http://", "https://")):
            return Member(entry, _described(entry, [remote(entry)]))
        if entry.isolation == "process":
            return await asyncio.to_thread(_in_process, entry)
        host = await hosts.start(
            [entry.source],
            network=entry.network,
            environment=Environment(entry.requirements, entry.python, entry.image),
            limits=HostLimits(entry.memory_mb, entry.processes, entry.cpus),
            say=say,
        )
    except (CodinError, OSError) as error:
        return Member(entry, (), (TeamProblem(entry.source, str(error)),))
    say(f"agent host {host.name}: {', '.join(agent.id for agent in host.agents)}")
    problems = tuple(
        TeamProblem(problem.source, f"{problem.error_type}: {problem.message}")
        for problem in host.problems
    )
    return Member(entry, _described(entry, host.agents), problems, host)


def _in_process(entry: AgentEntry) -> Member:
    from codin.agent.discovery import discover

    found = discover([entry.source])
    problems = tuple(TeamProblem(entry.source, str(problem)) for problem in found.problems)
    return Member(entry, _described(entry, found.agents), problems)


def _described(entry: AgentEntry, agents: Sequence[Agent]) -> tuple[Agent, ...]:
    keys = ("id", "name", "description", "tools")
    said = {key: getattr(entry, key) for key in keys} | {"hands_off_to": entry.hands_off_to or None}
    if len(agents) > 1:
        # An entry for a folder speaks of all of its agents.
        said["id"] = said["name"] = None
    given = {key: value for key, value in said.items() if value is not None}
    if entry.isolation == "process":
        given |= {"isolation": "process", "trusted": True}
    return tuple(
        DescribedAgent(agent, replace(info_of(agent), **given)) if given else agent
        for agent in agents
    )
