"""MCP servers of the settings as tools of the platform."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from codin.cli.tools import tools
from codin.config import AgentEntry, ConfigError, McpMount, McpSettings, Settings, load_settings
from codin.gateway.opening import open_platform
from codin.model import parse
from codin.security import LOCAL_USER, Principal
from codin.task.log.follow import follow

pytestmark = pytest.mark.slow

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
SERVERS = Path(__file__).parent.parent / "tool" / "mcp"
ASKER = """
from codin import wrap
from codin.agent import Task

async def asker(task: Task) -> str:
    plain = {tool.name: tool for tool in task.tools}["one_plain"]
    return f"it has {await plain.invoke()}"

agent = wrap(asker, id="asker", description="Asks.", tools=["one_plain"])
"""


def server(mode: str) -> McpSettings:
    return McpSettings(
        command=(sys.executable, "/servers/hostile_server.py", mode),
        mounts=(McpMount(source=SERVERS, target="/servers"),),
        start_seconds=10,
    )


async def test_an_agent_in_a_host_calls_one_and_the_bad_are_named(tmp_path: Path) -> None:
    (tmp_path / "asker.py").write_text(ASKER)
    settings = Settings(
        home=tmp_path / "home",
        agents=(AgentEntry(source=str(tmp_path / "asker.py")),),
        mcp={"one": server("plain"), "dead": server("dead"), "lies": server("lies")},
    )
    async with open_platform(settings, NO_MODEL) as platform:
        task_id = await platform.submit(LOCAL_USER, "what?")
        events = [event async for event in follow(platform.log, LOCAL_USER, task_id)]
        said = {problem.message for problem in platform.problems}
        names = [tool.spec.name for tool in platform.tools.list(LOCAL_USER)]
        assert platform.tools.list(Principal("elsewhere", "somebody")) == []
    assert any("it has answered" in str(event.body) for event in events)
    assert {"one_plain", "lies_plain"} <= {*names}
    assert any("'dead' cannot be used" in message for message in said)
    assert any("'no name at all' is left out" in message for message in said)


def test_they_are_listed(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text((SERVERS / "hostile_server.py").read_text())
    (tmp_path / "codin.toml").write_text(
        f'[mcp.one]\ncommand = ["{sys.executable}", "/given/server.py"]\n'
        'mounts = [{ source = "server.py", target = "/given/server.py" }]\n'
    )
    shown = CliRunner().invoke(tools, ["--config", str(tmp_path / "codin.toml"), "--json"])
    assert shown.exit_code == 0, shown.output
    specs = [json.loads(line) for line in shown.stdout.splitlines()]
    found = next(spec for spec in specs if spec["name"] == "one_plain")
    assert (found["origin"], found["trusted"]) == ("mcp", False)
    assert found["description"] == "Tool plain of the MCP server one: Answers."


def test_paths_are_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "codin.toml").write_text(
        """
[mcp.one]
command = ["server", "files/x"]
mounts = [{ source = "files", target = "/files" }]
network = ["API.example.org:443"]
env = { PLAIN = "files/x", KEY = { file = "key.txt" } }

[mcp.two]
url = "https://mcp.example.org/mcp"
token = { file = "token.txt" }
headers = { "x-key" = { file = "key.txt" }, "x-team" = "blue" }
"""
    )
    settings = load_settings(tmp_path / "codin.toml")
    one, two = settings.mcp["one"], settings.mcp["two"]
    assert one.command == ("server", "files/x")
    assert one.mounts[0].source == tmp_path / "files"
    assert one.network == ("api.example.org:443",)
    assert one.env["PLAIN"] == "files/x"
    assert str(one.env["KEY"]) == f"file {tmp_path / 'key.txt'}"
    assert str(two.token) == f"file {tmp_path / 'token.txt'}"
    assert str(two.headers["x-key"]) == f"file {tmp_path / 'key.txt'}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seconds = 3", "mcp.one: give a command, or the url of a server that runs"),
        ('command = ["a"]\nurl = "https://x/y"', "mcp.one: give a command, or the url"),
        ('command = ["a"]\ntoken = { env = "A" }', "token is for a server that has a url"),
        ('url = "https://x/y"\nrequirements = ["a"]', "requirements is for a server that has a c"),
        ('url = "ftp://x/y"', "mcp.one.url: give http(s)://host/path"),
        ('url = "https://me:secret@x/y"', "mcp.one.url: give http(s)://host/path"),
        ('command = ["a"]\nnetwork = ["nowhere"]', "mcp.one.network"),
        ('comand = ["a"]', "unknown key 'mcp.one.comand'; did you mean 'command'?"),
        ('command = ["a"]\n[openapi.one]\ndocument = "x"', "openapi.one and mcp.one have one name"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "codin.toml").write_text(f"[mcp.one]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "codin.toml")
    assert said in str(caught.value)
