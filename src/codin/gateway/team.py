"""The agents of the settings, brought up: hosts started, remote ones named, problems kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from codin.agent import wrap
from codin.agent.base import Agent, AgentInfo, Task
from codin.agent.host.launcher import AgentHosts
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
    """An agent that could not be brought up, and why. The others go on without it."""

    source: str
    message: str


@dataclass(frozen=True, slots=True)
class Team:
    """Who is there, and who is not."""

    agents: tuple[Agent, ...]
    problems: tuple[TeamProblem, ...]

    @property
    def infos(self) -> tuple[AgentInfo, ...]:
        """What is shown of the agents."""
        return tuple(info_of(agent) for agent in self.agents)


async def bring_up(
    entries: Sequence[AgentEntry],
    hosts: AgentHosts,
    say: Say,
    remote: Callable[[AgentEntry], Agent] = lambda entry: wrap(entry.source),
) -> Team:
    """Start what ``entries`` name, all at once; ``remote`` gives an agent at a URL. Never raises
    for an agent that does not come up."""
    teams = await asyncio.gather(*(_bring_up_one(entry, hosts, say, remote) for entry in entries))
    agents: dict[str, Agent] = {}
    problems = [problem for team in teams for problem in team.problems]
    for entry, team in zip(entries, teams, strict=True):
        for agent in team.agents:
            if agent.id in agents:
                taken = f"another agent has the id {agent.id!r} already; give one another id"
                problems.append(TeamProblem(entry.source, taken))
            else:
                agents[agent.id] = agent
    return Team(tuple(agents.values()), tuple(problems))


async def _bring_up_one(
    entry: AgentEntry, hosts: AgentHosts, say: Say, remote: Callable[[AgentEntry], Agent]
) -> Team:
    try:
        if entry.source.startswith(("http://", "https://")):
            return Team(_described(entry, [remote(entry)]), ())
        if entry.isolation == "process":
            return await asyncio.to_thread(_in_process, entry)
        host = await hosts.start(
            [entry.source], network=entry.network, requirements=entry.requirements
        )
    except (CodinError, OSError) as error:
        return Team((), (TeamProblem(entry.source, str(error)),))
    say(f"agent host {host.name}: {', '.join(agent.id for agent in host.agents)}")
    problems = tuple(
        TeamProblem(problem.source, f"{problem.error_type}: {problem.message}")
        for problem in host.problems
    )
    return Team(_described(entry, host.agents), problems)


def _in_process(entry: AgentEntry) -> Team:
    from codin.agent.discovery import discover

    found = discover([entry.source])
    problems = tuple(TeamProblem(entry.source, str(problem)) for problem in found.problems)
    return Team(_described(entry, found.agents), problems)


def _described(entry: AgentEntry, agents: Sequence[Agent]) -> tuple[Agent, ...]:
    said = {key: getattr(entry, key) for key in ("id", "name", "description", "tools")}
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
