"""Routers, supervisors and tools that are agents, as the settings name them."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest

from codin.agent.base import Agent, AgentInfo
from codin.agent.registry import AgentRegistry
from codin.agent.router import Router
from codin.agent.supervisor import Supervisor
from codin.config import ConfigError, Settings, load_settings
from codin.gateway.coordination import (
    AgentTools,
    coordinator_infos,
    register_coordinators,
)
from codin.model import ModelClient
from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer, RunGrant
from codin.testing.tasks import SmallAgent
from codin.tool.agent import AgentCaller
from codin.tool.registry import ToolRegistry

MODEL = cast("ModelClient", SimpleNamespace(choice=None))
CALLER = cast("AgentCaller", None)


def agent(agent_id: str, *tools: str, hands_off_to: tuple[str, ...] = ()) -> Agent:
    class Known(SmallAgent):
        @property
        def info(self) -> AgentInfo:
            return AgentInfo(agent_id, agent_id, "Does.", tools=tools, hands_off_to=hands_off_to)

    return Known(cast("Any", None), agent_id)


def registries(*agents: Agent) -> tuple[AgentRegistry, ToolRegistry]:
    authorizer = RoleAuthorizer(DEFAULT_ROLES)
    return AgentRegistry(authorizer, agents), ToolRegistry(authorizer)


def test_routers_and_supervisors_are_agents_like_others() -> None:
    settings = Settings.model_validate(
        {
            "routers": [{"id": "desk", "agents": ["a"], "name": "The desk"}],
            "supervisors": [{"id": "boss", "agents": ["a", "desk"], "rounds": 2}],
        }
    )
    agents, tools = registries(agent("a"))
    assert register_coordinators(settings, agents, MODEL) == []
    assert isinstance(agents.get(LOCAL_USER, "desk"), Router)
    assert isinstance(agents.get(LOCAL_USER, "boss"), Supervisor)
    assert AgentTools(tools, agents, CALLER, seconds=9).problems == []
    infos = {info.id: info for info in agents.infos(LOCAL_USER)}
    assert infos["desk"].name == "The desk"
    assert infos["boss"].tools == ("agent:a", "agent:desk")
    assert [infos[info.id] for info in coordinator_infos(settings)] == [
        infos["desk"],
        infos["boss"],
    ]
    specs = {tool.spec.name: tool.spec for tool in tools.list(LOCAL_USER)}
    assert list(specs) == ["ask_a", "ask_desk"]
    assert specs["ask_a"].origin == "agent"
    assert specs["ask_a"].limits.seconds == 9
    assert specs["ask_a"].permissions == ("agent.use:a",)


def test_only_who_may_use_an_agent_sees_the_tool_of_it() -> None:
    agents, tools = registries(agent("a", hands_off_to=("b",)), agent("b", "agent:a"))
    AgentTools(tools, agents, CALLER, seconds=9)
    for scope, seen in (("agent.use:a", ["ask_a"]), ("agent.use:b", ["transfer_to_b"])):
        narrow = Principal(
            "t", "ann", roles=frozenset({"user"}), scopes=frozenset({scope, "tool.call:*"})
        )
        assert [tool.spec.name for tool in tools.list(narrow)] == seen


def test_what_names_nobody_is_a_problem_that_says_who_there_is() -> None:
    settings = Settings.model_validate(
        {
            "routers": [{"id": "desk", "agents": ["a", "nobody"]}, {"id": "a", "agents": ["a"]}],
            "supervisors": [{"id": "boss", "agents": ["gone"]}],
        }
    )
    agents, tools = registries(agent("a", "agent:lost", hands_off_to=("away",)))
    found = [*register_coordinators(settings, agents, MODEL)]
    found += AgentTools(tools, agents, CALLER, seconds=9).problems
    said = [f"{problem.source}: {problem.message}" for problem in found]
    who = "there are: a, boss, desk"
    assert re.match("router a: the agent id 'a' is taken", said[0])
    assert said[1:] == [
        f"router desk: there is no agent 'nobody'; {who}",
        f"supervisor boss: there is no agent 'gone'; {who}",
        f"a: asks for the tool agent:lost, and there is no agent 'lost'; {who}",
        f"boss: asks for the tool agent:gone, and there is no agent 'gone'; {who}",
        f"a: hands off to away, and there is no agent 'away'; {who}",
    ]


def test_an_id_that_is_too_long_for_the_name_of_a_tool_is_a_problem() -> None:
    long = "x" * 64
    agents, tools = registries(agent("a", f"agent:{long}"), agent(long))
    [problem] = AgentTools(tools, agents, CALLER, seconds=9).problems
    assert f"'ask_{long}'" in problem.message
    assert "cannot be the name of a tool" in problem.message


def test_tools_come_and_go_with_the_agents_that_ask_for_them() -> None:
    agents, tools = registries(agent("a"))
    made = AgentTools(tools, agents, CALLER, seconds=9)
    assert tools.list(LOCAL_USER) == []
    agents.register(agent("b", "agent:a", "agent:c"))
    assert [tool.name for tool in tools.list(LOCAL_USER)] == ["ask_a"]
    assert len(made.problems) == 1
    agents.replace(["a", "b"], [agent("a"), agent("b", "agent:a", "agent:c"), agent("c")])
    assert [tool.name for tool in tools.list(LOCAL_USER)] == ["ask_a", "ask_c"]
    assert made.problems == []
    agents.unregister("b")
    assert tools.list(LOCAL_USER) == []


def test_the_tool_that_tells_new_facts_is_there_for_who_asks_for_it() -> None:
    async def tell(grant: RunGrant, text: str) -> None:
        raise AssertionError(text)

    agents, tools = registries(agent("a"))
    made = AgentTools(tools, agents, CALLER, seconds=9, tell=tell)
    assert tools.list(LOCAL_USER) == []
    agents.register(agent("b", "tell_new_facts"))
    assert [tool.name for tool in tools.list(LOCAL_USER)] == ["tell_new_facts"]
    assert made.problems == []
    agents.unregister("b")
    assert tools.list(LOCAL_USER) == []


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[[routers]]\nid = "desk"\nagents = []', "routers.0.agents"),
        ('[[routers]]\nid = "The Desk"\nagents = ["a"]', "routers.0.id"),
        ('[[routers]]\nid = "desk"\nagent = ["a"]', "did you mean 'agents'"),
        ('[[supervisors]]\nid = "boss"\nagents = ["a"]\nrounds = 0', "supervisors.0.rounds"),
        ("[calls]\ndepth = 0", "calls.depth"),
        ("[calls]\ndeep = 3", "unknown key 'calls.deep'; did you mean 'depth'"),
    ],
)
def test_settings_that_cannot_be_used_are_said(tmp_path: Any, toml: str, message: str) -> None:
    file = tmp_path / "codin.toml"
    file.write_text(toml)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_settings(file)


def test_settings_of_coordination_are_read(tmp_path: Any) -> None:
    file = tmp_path / "codin.toml"
    file.write_text(
        """
        [[agents]]
        source = "https://other.example/a"
        tools = ["agent:b"]
        hands_off_to = ["c"]

        [[routers]]
        id = "desk"
        agents = ["a", "b"]
        model = false

        [calls]
        depth = 2
        tasks = 7
        """
    )
    settings = load_settings(file)
    assert settings.agents[0].tools == ("agent:b",)
    assert settings.agents[0].hands_off_to == ("c",)
    assert settings.routers[0].model is False
    assert (settings.calls.depth, settings.calls.tasks) == (2, 7)
