"""Commands with variables, packages and a network of their own, in real sandboxes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tool_house import House

from codin.config import ConfigError, load_settings
from codin.gateway.tools import open_sources
from codin.sandbox.base import Sandbox, SandboxSpec
from codin.sandbox.local import LocalSandboxProvider
from codin.sandbox.network import ProxyRoom
from codin.security import DEFAULT_ROLES, LOCAL_USER, OutgoingGuard, RoleAuthorizer
from codin.security.secrets import SecretRef
from codin.testing.small_server import SmallServer, small_server
from codin.tool import Argument, CommandTool, RunnableTool, ToolRegistry
from codin.tool.builtin import builtin_tools

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SECRET = 'tok-"q/93\\uff'
PACKAGE = "iniconfig==2.1.0"
TEXT = Argument({"type": "string"})
GET = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=9).status)"
TELL = """
import json, os, sys, time, urllib.parse
secret = os.environ["TOKEN"]
print("plain", secret, flush=True)
print("json", json.dumps(secret), file=sys.stderr, flush=True)
for piece in (secret[:5], secret[5:]):
    print(piece, end="", flush=True)
    time.sleep(0.3)
print("", "url", urllib.parse.quote(secret, safe=""), os.environ["PLACE"], flush=True)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[SmallServer]:
    async with small_server() as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(server: SmallServer) -> AsyncIterator[LocalSandboxProvider]:
    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    room = ProxyRoom([f"127.0.0.1:{server.port}"], resolve=resolve)
    provider = LocalSandboxProvider(network=room)
    yield provider
    await provider.close()


@pytest.fixture
def tools(server: SmallServer, tmp_path: Path) -> list[RunnableTool]:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    env = {"TOKEN": SecretRef(file=tmp_path / "token"), "PLACE": "here"}
    reached = [f"api.test:{server.port}"]
    return [
        CommandTool(
            "tell", ["python3", "-c", TELL], description="Tells what it was given.", env=env
        ),
        CommandTool(
            "fail",
            ["bash", "-c", 'echo "no: $TOKEN" >&2; exit 3'],
            description="Fails.",
            env=env,
        ),
        CommandTool("wait", ["bash", "-c", "touch begun; sleep 4"], description="Waits.", env=env),
        CommandTool(
            "keep", ["bash", "-c", "echo kept > kept.txt"], description="Keeps.", env={"A": "1"}
        ),
        CommandTool(
            "lacks",
            ["true"],
            description="Lacks its secret.",
            env={"TOKEN": SecretRef(file=tmp_path / "nowhere")},
        ),
        CommandTool(
            "parse_ini",
            ["python3", "-c", "import iniconfig; print(iniconfig.__file__)"],
            description="Has a package.",
            requirements=[PACKAGE],
        ),
        CommandTool(
            "no_package",
            ["true"],
            description="Has none.",
            requirements=["../elsewhere"],
        ),
        CommandTool(
            "fetch",
            ["python3", "-c", GET, "{url}"],
            {"url": TEXT},
            description="Fetches.",
            network=reached,
        ),
        CommandTool(
            "offline", ["python3", "-c", GET, "{url}"], {"url": TEXT}, description="Reaches none."
        ),
        *builtin_tools(),
    ]


async def test_a_secret_reaches_the_command_and_nobody_else(house: House) -> None:
    outcome = await house.call("tell")
    hidden = "plain [secret]\n[secret] url [secret] here"
    assert (outcome.error, outcome.value) == (None, hidden)
    live = "".join(event.text for event in house.live)
    assert live.count("[secret]") == 4
    everything = f"{outcome}{house.live}{house.recorder.began}{house.recorder.ended}"
    for form in (SECRET, SECRET[:6], SECRET[-6:], "tok-%22"):
        assert form not in everything


async def test_a_failure_is_told_without_it(house: House) -> None:
    outcome = await house.call("fail")
    assert outcome.text == "fail ended with exit code 3.\nno: [secret]"
    assert SECRET not in f"{outcome!r}{house.recorder.ended}"


async def test_code_of_the_same_goal_does_not_see_it(house: House) -> None:
    look = (
        "import glob, os, time\n"
        "while not os.path.exists('begun'): time.sleep(0.05)\n"
        "found = [p for p in glob.glob('/proc/[0-9]*/environ') "
        "if b'TOKEN' in open(p, 'rb').read()]\n"
        "print(found, 'TOKEN' in os.environ)"
    )
    waiting = asyncio.create_task(house.call("wait"))
    seen = await house.python(look)
    assert seen.text.startswith("[] False\n")
    assert not (await waiting).is_error


async def test_it_works_in_the_goals_workspace(house: House) -> None:
    await house.call("keep")
    assert (await house.call("read_file", path="kept.txt")).text.startswith("kept")


async def test_a_secret_that_is_not_there_is_named_by_its_place(house: House) -> None:
    outcome = await house.call("lacks")
    assert outcome.error_type == "ToolFailed"
    assert outcome.text.startswith("lacks failed: the secret in ")
    assert "nowhere cannot be read: No such file" in outcome.text


async def test_a_command_has_the_packages_that_it_names(house: House) -> None:
    outcome = await house.call("parse_ini")
    assert (outcome.error, outcome.value) == (None, "/packages/iniconfig/__init__.py")
    refused = await house.call("no_package")
    assert refused.error_type == "ToolFailed"
    assert "'../elsewhere' is no requirement" in refused.text


async def test_a_command_reaches_what_it_names_and_nothing_else(
    house: House, server: SmallServer
) -> None:
    fetched = await house.call("fetch", url=f"http://api.test:{server.port}/")
    assert (fetched.error, fetched.value) == (None, "200")
    other = await house.call("fetch", url=f"http://other.test:{server.port}/")
    assert other.error_type == "ToolFailed"
    assert f"other.test:{server.port}" in other.text.splitlines()[-1]
    heads = len(server.heads)
    offline = await house.call("offline", url=f"http://api.test:{server.port}/")
    assert offline.error_type == "ToolFailed"
    assert len(server.heads) == heads == 1


SETTINGS = """
[commands.show]
description = "Shows a variable."
argv = ["bash", "-c", "echo $TOKEN-$PLAIN"]
requirements = ["iniconfig"]
network = ["API.example.org:443"]
[commands.show.env]
TOKEN = { file = "token" }
PLAIN = "plain"
"""


async def test_settings(tmp_path: Path, house: House, provider: LocalSandboxProvider) -> None:
    (tmp_path / "codin.toml").write_text(SETTINGS)
    settings = load_settings(tmp_path / "codin.toml")
    command = settings.commands["show"]
    assert command.env == {"TOKEN": SecretRef(file=tmp_path / "token"), "PLAIN": "plain"}
    assert command.network == ("api.example.org:443",)
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    async with open_sources(registry, settings, OutgoingGuard(), provider):
        house.registry.register(registry.get(LOCAL_USER, "show"))
        assert (await house.call("show")).value == "[secret]-plain"


async def test_packages_are_got_before_a_call(
    tmp_path: Path, provider: LocalSandboxProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "[commands.{0}]\ndescription = 'X'\nargv = ['ls']\nrequirements = ['{1}']\n"
    both = (("has", "iniconfig"), ("lacks", "../elsewhere"))
    (tmp_path / "codin.toml").write_text("".join(command.format(*one) for one in both))
    settings = load_settings(tmp_path / "codin.toml")
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    async with open_sources(registry, settings, OutgoingGuard(), provider) as sources:
        (problem,) = sources.problems
        assert problem.source == "commands.lacks"
        assert "'../elsewhere' is no requirement" in problem.message

    begun = asyncio.Event()

    async def create(spec: SandboxSpec) -> Sandbox:
        begun.set()
        return await asyncio.Future[Sandbox]()

    monkeypatch.setattr(provider, "create", create)
    monkeypatch.setattr("codin.gateway.commands._PATIENCE_SECONDS", 0.1)
    again = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    async with open_sources(again, settings, OutgoingGuard(), provider) as sources:
        assert begun.is_set()
        told = {problem.message for problem in sources.problems}
        assert "its packages are still being got" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("env = { 'A B' = 'x' }", "commands.x.env.A B"),
        ("env = { A = { file = 'a', env = 'B' } }", "one of the two"),
        ("env = { A = 1 }", "commands.x.env.A"),
        ("network = ['https://example.org']", "commands.x.network"),
        (
            "requirement = ['a']",
            "unknown key 'commands.x.requirement'; did you mean 'requirements'",
        ),
    ],
)
async def test_settings_that_cannot_be_used(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "codin.toml"
    file.write_text(f"[commands.x]\ndescription = 'X'\nargv = ['ls']\n{text}\n")
    with pytest.raises(ConfigError, match=told):
        load_settings(file)
