"""Tools that agents ask for and that are not there: told of, while they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from codin.agent.base import AgentInfo
from codin.cli.agents import agents
from codin.config import AgentEntry, Settings
from codin.gateway.opening import open_platform
from codin.gateway.unmet import unmet
from codin.model import parse
from codin.security import DEFAULT_ROLES, RoleAuthorizer
from codin.tool import Invocation, RunnableTool, ToolRegistry, ToolSpec

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
ASKER = """
from codin import wrap

async def ask(text: str) -> str:
    return text

agent = wrap(ask, id="asker", description="Asks.", tools=["fare", "hub_*", "hub_star_list"])
"""
FARE = """
from codin import tool

@tool
def fair(km: float) -> float:
    "What a ride costs."
    return km
"""
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Hub", "version": "1"},
    "servers": [{"url": "https://hub.test"}],
    "paths": {"/stars": {"get": {"operationId": "stars/list", "responses": {}}}},
}


class Named(RunnableTool):
    """A tool of any name."""

    def __init__(self, name: str, version: str = "1", **fields: object) -> None:
        self.name = name
        self.spec = ToolSpec.model_validate({"name": name, "version": version, **fields})

    async def run(self, call: Invocation) -> None:
        """Do nothing."""


@pytest.fixture
def registry() -> ToolRegistry:
    made = [Named("read_file"), Named("fare"), Named("fare", "2"), Named("ask_bob", origin="agent")]
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES), made)
    registry.replace("github", [Named(f"github_issues_{n}") for n in ("create", "list", "get")])
    return registry


def told(registry: ToolRegistry, *tools: str) -> list[str]:
    info = AgentInfo(id="asker", name="Asker", description="Asks.", tools=tools)
    problems = list(unmet([info], registry))
    assert {problem.source for problem in problems} <= {"asker"}
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    "asked",
    [
        "read_file",
        "fare",
        "fare@1",
        "fare@2.0",
        "github_*",
        "*",
        "find_tools",
        "tell_new_facts",
        "agent:nobody",
    ],
)
def test_what_is_there_is_not_told(registry: ToolRegistry, asked: str) -> None:
    assert told(registry, asked) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("read_fil", "asks for the tool 'read_fil', and there is none; did you mean 'read_file'?"),
        (
            "github_issue_create",
            "asks for the tool 'github_issue_create', and there is none; did you mean "
            "'github_issues_create' or 'github_issues_get' or 'github_issues_list'?",
        ),
        (
            "githb_*",
            "asks for the tools 'githb_*', and there are none such; did you mean 'github_*'?",
        ),
        ("ask_*", "asks for the tools 'ask_*', and there are none such; did you mean 'ask_bob'?"),
        ("zzz", "asks for the tool 'zzz', and there is none"),
        (
            "fare@3",
            "asks for the tool 'fare@3', and there is no such version of it; there is: 2, 1",
        ),
        (
            "fare@x",
            "asks for the tool 'fare@x', and there is no such version of it; there is: 2, 1",
        ),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(
    registry: ToolRegistry, asked: str, said: str
) -> None:
    assert told(registry, asked, "read_file") == [f"asker {said}"]


def test_it_goes_when_a_source_brings_the_tool(registry: ToolRegistry) -> None:
    assert len(told(registry, "gitlab_*", "gitlab_merge")) == 2
    registry.replace("gitlab", [Named("gitlab_merge")])
    assert told(registry, "gitlab_*", "gitlab_merge") == []
    registry.replace("gitlab", [])
    assert len(told(registry, "gitlab_*", "gitlab_merge")) == 2


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "asker.py").write_text(ASKER)
    (tmp_path / "tools.py").write_text(FARE)
    (tmp_path / "hub.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "codin.toml").write_text(
        'home = "home"\ntools = ["tools.py"]\n[openapi.hub]\ndocument = "hub.json"\n'
        '[[agents]]\nsource = "asker.py"\nisolation = "process"\n'
    )
    return tmp_path


SAID = {
    "asks for the tool 'fare', and there is none; did you mean 'fair'?",
    "asks for the tool 'hub_star_list', and there is none; did you mean 'hub_stars_list'?",
}


@pytest.mark.slow
async def test_the_platform_tells_of_it_while_it_is_so(place: Path) -> None:
    settings = Settings(
        home=place / "home",
        agents=(AgentEntry(source=str(place / "asker.py"), isolation="process"),),
        tools=(place / "tools.py",),
    )
    async with open_platform(settings, NO_MODEL) as platform:
        lacking = {(source, said) for source, said in platform.parts().problems()}
        assert {source for source, _ in lacking} == {"asker"}
        assert any("'hub_*'" in said for _, said in lacking)
        made = [Named("hub_stars_list"), Named("hub_star_list")]
        platform.tools.replace("hub", made)
        assert len(platform.parts().problems()) == 1


@pytest.mark.slow
def test_codin_agents_tells_of_it(place: Path) -> None:
    config = ["--config", str(place / "codin.toml")]
    done = CliRunner().invoke(agents, [*config, "--json"], standalone_mode=False)
    assert (done.return_value, done.exception) == (1, None)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["id"], row["state"]) for row in rows[:1]] == [("asker", "ready")]
    assert {row["reason"] for row in rows[1:]} == SAID
    table = CliRunner().invoke(agents, config)
    assert len([line for line in table.stdout.splitlines() if line.startswith("asker ")]) == 1
    assert {line for line in table.stderr.splitlines() if line.startswith("asker ")} == {
        f"asker {said}" for said in SAID
    }


@pytest.mark.slow
def test_an_agent_that_has_all_opens_no_source(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "tools.py").write_text(FARE.replace("fair", "fare"))
    (place / "asker.py").write_text(ASKER.replace(', "hub_*", "hub_star_list"', ""))
    (place / "hub.json").unlink()
    monkeypatch.setattr("codin.gateway.unmet.open_sources", None)
    config = ["--config", str(place / "codin.toml")]
    done = CliRunner().invoke(agents, config, standalone_mode=False)
    assert (done.return_value, done.exception) == (0, None)
