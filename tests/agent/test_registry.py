"""Who sees which agent."""

from __future__ import annotations

import pytest

from codin.agent import wrap
from codin.agent.base import AgentInfo, Task
from codin.agent.cards import agent_card
from codin.agent.registry import AgentRegistry, DuplicateAgent, UnknownAgent
from codin.agent.response import AgentResponse
from codin.errors import NotFoundError
from codin.security import LOCAL_USER, Principal, RoleAuthorizer
from codin.tool.base import Tool


async def answer(text: str) -> str:
    """Answers."""
    return text


ROLES = RoleAuthorizer(
    {"owner": frozenset({"*"}), "guest": frozenset({"agent.use:a"}), "nobody": frozenset()}
)
GUEST = Principal("local", "guest", frozenset({"guest"}))
NOBODY = Principal("local", "nobody", frozenset({"nobody"}))


def registry() -> AgentRegistry:
    return AgentRegistry(ROLES, [wrap(answer, id="b"), wrap(answer, id="a")])


def test_each_sees_what_it_may_use() -> None:
    agents = registry()
    assert [a.id for a in agents.list(LOCAL_USER)] == ["a", "b"]
    assert [a.id for a in agents.list(GUEST)] == ["a"]
    assert agents.list(NOBODY) == []
    assert agents.infos(GUEST) == (AgentInfo("a", "answer", "Answers."),)
    assert agents.get(GUEST, "a").id == "a"


def test_unknown_and_forbidden_look_the_same() -> None:
    agents = registry()
    told = []
    for name in ("b", "z"):
        with pytest.raises(UnknownAgent) as caught:
            agents.get(GUEST, name)
        told.append(str(caught.value).replace(f"'{name}'", "ID"))
        assert isinstance(caught.value, NotFoundError)
    assert told == ["there is no agent ID; you may use: a"] * 2


def test_a_narrowed_principal_sees_less() -> None:
    narrowed = LOCAL_USER.narrowed(frozenset({"agent.use:b"}))
    assert [a.id for a in registry().list(narrowed)] == ["b"]


def test_an_id_is_taken_once() -> None:
    agents = registry()
    with pytest.raises(DuplicateAgent, match=r"'a' is taken.*Other"):
        agents.register(wrap(answer, id="a", name="Other"))
    agents.unregister("a")
    agents.unregister("a")
    agents.register(wrap(answer, id="a", name="Other"))


def test_a_card_has_every_required_field() -> None:
    for info in (
        AgentInfo("a", "A", "", framework="adk", tools=("look",)),
        AgentInfo("a", "A", "Does.", skills=("Finds files. Quickly.", "Counts")),
    ):
        card = agent_card(info, "http://127.0.0.1:1/agents/a")
        assert card.name
        assert card.description
        assert card.version
        assert card.capabilities.streaming
        assert card.default_input_modes
        assert card.default_output_modes
        assert [
            (i.protocol_binding, i.url, i.protocol_version) for i in card.supported_interfaces
        ] == [
            ("JSONRPC", "http://127.0.0.1:1/agents/a/", "1.0"),
            ("HTTP+JSON", "http://127.0.0.1:1/agents/a", "1.0"),
        ]
        assert len({skill.id for skill in card.skills}) == len(card.skills) > 0
        for skill in card.skills:
            assert skill.name
            assert skill.description
            assert skill.tags


def test_it_knows_where_each_agent_runs() -> None:
    class Described:
        def __init__(self, **said: str) -> None:
            self.info = AgentInfo(f"i{len(found)}", "n", "d", **said)
            self.id, self.name, self.description = self.info.id, "n", "d"
            self.tools: list[Tool] = []
            found.append(self.info.id)

        async def handle(self, task: Task) -> AgentResponse:
            raise NotImplementedError

    found: list[str] = []
    agents = [
        Described(isolation="host"),
        Described(isolation="container"),
        Described(isolation="process"),
    ]
    there = AgentRegistry(ROLES, [*agents, wrap("https://agents.example/a", id="far")])
    assert there.runtimes() == {"i0": "local", "i1": "docker", "i2": "process", "far": "http"}
