"""Agents are made anew when their files change, and nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from starlette.applications import Starlette

from codin.agent import Agent
from codin.agent.host import AgentHosts
from codin.agent.registry import AgentRegistry
from codin.config import AgentEntry, ConfigError
from codin.gateway.reloading import Reloader, reloading
from codin.gateway.server import UnixServer
from codin.gateway.team import Team, bring_up
from codin.runtime import LocalRuntime
from codin.sandbox.local import LocalSandboxProvider
from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer

pytestmark = pytest.mark.slow

AGENT = """
from codin import wrap
import words

async def say(text: str) -> str:
    return words.WORD

agent = wrap(say, id="{id}", description="{says}")
"""


class Place:
    """A team of two agents, each in a host, and what is told of it."""

    def __init__(self, folder: Path, hosts: AgentHosts) -> None:
        self.folder = folder
        self.hosts = hosts
        self.told: list[str] = []
        self.entries: list[AgentEntry] = []
        self.error: ConfigError | None = None
        self.registry = AgentRegistry(RoleAuthorizer(DEFAULT_ROLES))

    def write(self, name: str, text: str) -> AgentEntry:
        (self.folder / name).write_text(text)
        return AgentEntry(source=str(self.folder / name))

    def read(self) -> Sequence[AgentEntry]:
        if self.error is not None:
            raise self.error
        return self.entries

    def say_settings(self, text: str) -> None:
        (self.folder / "codin.toml").write_text(text)

    async def open(self) -> Reloader:
        self.team: Team = await bring_up(self.entries, self.hosts, self.told.append)
        self.registry.replace((), self.team.agents)
        self.told.clear()
        return Reloader(
            self.team,
            self.registry,
            self.hosts,
            self.told.append,
            remote=_no_remote,
            entries=self.read,
            settings=self.folder / "codin.toml",
        )

    @property
    def said(self) -> dict[str, str]:
        return {info.id: info.description for info in self.registry.infos(LOCAL_USER)}


def _no_remote(entry: AgentEntry) -> Agent:
    raise AssertionError(entry)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    provider = LocalSandboxProvider()
    runtime = LocalRuntime(provider)
    socket = tmp_path / "p.sock"
    agents = tmp_path / "agents"
    agents.mkdir()
    async with UnixServer(Starlette(), socket):
        hosts = AgentHosts(runtime, socket)
        place = Place(agents, hosts)
        place.write("words.py", "WORD = 'one'\n")
        place.entries = [
            place.write("a.py", AGENT.format(id="a", says="first")),
            place.write("b.py", AGENT.format(id="b", says="first").replace("import words", "")),
        ]
        yield place
        await hosts.stop()
        await runtime.close()
        await provider.close()


async def test_a_change_restarts_the_host_of_that_agent_only(place: Place) -> None:
    reloader = await place.open()
    await reloader.begin()
    other = place.registry.get(LOCAL_USER, "b")
    await reloader.look()
    assert place.told == []
    place.write("a.py", AGENT.format(id="a", says="second"))
    await reloader.look()
    assert place.said == {"a": "second", "b": "first"}
    assert place.registry.get(LOCAL_USER, "b") is other
    assert len(place.hosts.hosts) == 2
    assert place.told[-1].endswith("a.py was loaded again")
    place.told.clear()
    # what it imports is its source too, and only its own
    place.write("words.py", "WORD = 'a longer one'\n")
    await reloader.look()
    assert [line for line in place.told if "loaded again" in line] == [
        f"{place.folder / 'a.py'} was loaded again"
    ]


async def test_a_broken_file_keeps_what_was_there_and_is_told_once(place: Place) -> None:
    reloader = await place.open()
    await reloader.begin()
    before = place.registry.get(LOCAL_USER, "a")
    place.write("a.py", "def broken(:\n")
    await reloader.look()
    await reloader.look()
    assert place.registry.get(LOCAL_USER, "a") is before
    [line] = place.told
    assert "is kept as it was" in line
    assert "SyntaxError" in line
    assert len(place.hosts.hosts) == 2
    place.write("a.py", AGENT.format(id="a", says="mended"))
    await reloader.look()
    assert place.said["a"] == "mended"


async def test_what_was_broken_from_the_first_comes_up_when_it_is_mended(place: Place) -> None:
    place.write("a.py", "import nowhere_at_all\n")
    reloader = await place.open()
    await reloader.begin()
    assert place.said == {"b": "first"}
    [problem] = place.team.problems
    assert "nowhere_at_all" in problem.message
    place.write("nowhere_at_all.py", "")
    await reloader.look()  # a new file beside it
    place.write("a.py", AGENT.format(id="a", says="mended"))
    await reloader.look()
    assert place.said == {"a": "mended", "b": "first"}
    assert place.team.problems == ()


async def test_the_settings_are_read_again(place: Place) -> None:
    reloader = await place.open()
    await reloader.begin()
    a, b = place.entries
    c = place.write("c.py", AGENT.format(id="c", says="new"))
    place.entries = [a.model_copy(update={"description": "by the settings"}), c]
    place.say_settings("one")
    await reloader.look()
    assert place.said == {"a": "by the settings", "c": "new"}
    assert len(place.hosts.hosts) == 2
    place.told.clear()
    place.error = ConfigError("codin.toml: is not TOML")
    place.say_settings("another")
    await reloader.look()
    await reloader.look()
    assert place.told == ["the settings are kept as they were: codin.toml: is not TOML"]
    assert place.said == {"a": "by the settings", "c": "new"}
    assert b.source not in {member.entry.source for member in place.team.members}


async def test_it_is_watched_until_the_block_ends(place: Place) -> None:
    async with reloading(await place.open()):
        place.write("a.py", AGENT.format(id="a", says="watched"))
        await _until(lambda: place.said["a"] == "watched")
    place.write("a.py", AGENT.format(id="a", says="not watched any more"))
    await asyncio.sleep(1.0)
    assert place.said["a"] == "watched"


async def test_an_id_of_another_agent_is_not_taken(place: Place) -> None:
    reloader = await place.open()
    await reloader.begin()
    place.write("b.py", AGENT.format(id="a", says="a thief"))
    await reloader.look()
    assert place.said == {"a": "first"}
    [problem] = place.team.problems
    assert "the agent id 'a' is taken" in problem.message


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.05)
