"""The agents that there are, as far as each caller may know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from codin.agent.base import Agent, AgentError, AgentInfo, AgentRuntime
from codin.agent.wrapping import AGENT_ID, info_of
from codin.errors import NotFoundError
from codin.security import Authorizer, Principal


class UnknownAgent(AgentError, NotFoundError):
    """No such agent for this caller; unknown and forbidden look the same."""


class DuplicateAgent(AgentError):
    """Two agents have the same id."""


class AgentRegistry:
    """Agents by id. Whoever holds ``agent.use:ID`` sees and uses the agent ``ID``."""

    def __init__(self, authorizer: Authorizer, agents: Iterable[Agent] = ()) -> None:
        self._authorizer = authorizer
        self._agents: dict[str, Agent] = {}
        self._listening: list[Callable[[], None]] = []
        for agent in agents:
            self._take(agent)

    def listen(self, told: Callable[[], None]) -> None:
        """From now on call ``told`` when agents have come or gone."""
        self._listening.append(told)

    def register(self, agent: Agent) -> None:
        """Take ``agent`` in.

        Raises:
            DuplicateAgent: its id is taken; the message names both.
            AgentError: its id is malformed.
        """
        self._take(agent)
        self._tell()

    def _take(self, agent: Agent) -> None:
        if not AGENT_ID.fullmatch(agent.id):
            raise AgentError(f"{agent.id!r} cannot be an agent's id: it does not stand in a URL")
        if (there := self._agents.get(agent.id)) is not None:
            raise DuplicateAgent(
                f"the agent id {agent.id!r} is taken: {_what(there)} has it, and {_what(agent)} "
                "wants it; give one of them another id"
            )
        self._agents[agent.id] = agent

    def unregister(self, agent_id: str) -> None:
        """Forget the agent. Forgetting an unknown one does nothing."""
        self._agents.pop(agent_id, None)
        self._tell()

    def replace(self, before: Iterable[str], agents: Iterable[Agent]) -> None:
        """Hold ``agents`` instead of those whose ids are ``before``, all at once.

        Raises:
            DuplicateAgent, AgentError: as by ``register``; what was held is held then.
        """
        held = dict(self._agents)
        for agent_id in before:
            self._agents.pop(agent_id, None)
        try:
            for agent in agents:
                self._take(agent)
        except AgentError:
            self._agents = held
            raise
        self._tell()

    def get(self, principal: Principal, agent_id: str) -> Agent:
        """The agent ``agent_id``.

        Raises:
            UnknownAgent: there is none that ``principal`` may use.
        """
        agent = self._agents.get(agent_id)
        if agent is None or not self._allows(principal, agent_id):
            known = ", ".join(info.id for info in self.infos(principal)) or "none"
            raise UnknownAgent(f"there is no agent {agent_id!r}; you may use: {known}")
        return agent

    def list(self, principal: Principal) -> list[Agent]:
        """The agents that ``principal`` may use, by id."""
        return [
            agent for key, agent in sorted(self._agents.items()) if self._allows(principal, key)
        ]

    def infos(self, principal: Principal) -> tuple[AgentInfo, ...]:
        """What is known of the agents that ``principal`` may use, by id."""
        return tuple(info_of(agent) for agent in self.list(principal))

    def runtimes(self) -> dict[str, AgentRuntime]:
        """Where the runs of each agent do their work, by its id: for the platform, not a caller."""
        return {key: info_of(agent).runtime for key, agent in self._agents.items()}

    def _tell(self) -> None:
        for told in self._listening:
            told()

    def _allows(self, principal: Principal, agent_id: str) -> bool:
        return self._authorizer.allows(principal, f"agent.use:{agent_id}")


def _what(agent: Agent) -> str:
    info = info_of(agent)
    return f"{info.name!r} ({info.framework})"
