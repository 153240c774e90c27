"""Agents that are made anew when their files, or what the settings say of them, change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from codin.agent.base import AgentError
from codin.agent.host.launcher import AgentHosts
from codin.agent.registry import AgentRegistry
from codin.config import AgentEntry
from codin.errors import CodinError
from codin.gateway.team import Member, Remote, Say, Team, bring_up_one

LOOK_SECONDS = 0.5
"""How often the files are looked at."""

_CHANGED = "its files or settings were changed, and it was started anew"
_REMOVED = "it was taken out of the settings"
_MAX_FILES = 2_000

Marks = Mapping[Path, tuple[int, int] | None]
"""When each file was changed last, and its size; ``None`` for one that is not there."""


class Reloader:
    """Keeps a team as its files and settings say.

    ``entries`` reads the settings again, ``settings`` is their file. A host is made anew when a
    file changes that its agents were made of, beside the old one, which goes when the new one is
    ready; what runs on it fails with that reason. What cannot be loaded is told once, and what was
    there stays.
    """

    def __init__(
        self,
        team: Team,
        registry: AgentRegistry,
        hosts: AgentHosts,
        say: Say,
        *,
        remote: Remote,
        entries: Callable[[], Sequence[AgentEntry]],
        settings: Path,
    ) -> None:
        self._team = team
        self._registry = registry
        self._hosts = hosts
        self._say = say
        self._remote = remote
        self._entries = entries
        self._settings = settings
        self._settings_mark: Marks = {}
        self._marks: dict[AgentEntry, Marks] = {}
        self._served = [agent.id for agent in team.agents]

    async def begin(self) -> None:
        """Note how everything is now."""
        self._settings_mark = await asyncio.to_thread(_marks, [self._settings])
        for member in self._team.members:
            self._marks[member.entry] = await asyncio.to_thread(_marks, _files(member))

    async def watch(self) -> None:
        """Look after all of it, without end."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Make anew what has changed since the last look."""
        mark = await asyncio.to_thread(_marks, [self._settings])
        if mark != self._settings_mark:
            self._settings_mark = mark
            await self._read_again()
        for member in list(self._team.members):
            now = await asyncio.to_thread(_marks, _files(member))
            if now != self._marks.get(member.entry):
                await self._renew(member, member.entry)

    async def _read_again(self) -> None:
        try:
            wanted = list(self._entries())
        except CodinError as error:
            self._say(f"the settings are kept as they were: {error}")
            return
        there = {member.entry.source: member for member in self._team.members}
        for entry in wanted:
            member = there.pop(entry.source, None)
            if member is None:
                await self._take(Member(entry), entry)
            elif member.entry != entry:
                await self._renew(member, entry)
        for member in there.values():
            self._team.members.remove(member)
            self._marks.pop(member.entry, None)
            self._serve()
            self._say(f"{member.entry.source} is gone from the settings")
            if member.host is not None:
                await self._hosts.end(member.host, _REMOVED)

    async def _renew(self, member: Member, entry: AgentEntry) -> None:
        """Bring up what ``entry`` says in the place of ``member``."""
        self._marks[member.entry] = await asyncio.to_thread(_marks, _files(member))
        if "process" in (member.entry.isolation, entry.isolation):
            self._say(f"{entry.source} runs in the gateway itself: start it again to change it")
            return
        await self._take(member, entry)

    async def _take(self, old: Member, entry: AgentEntry) -> None:
        new = await bring_up_one(entry, self._hosts, self._say, self._remote)
        if new.problems and (old.agents or not new.agents):
            for problem in new.problems:
                self._say(f"{problem.source} is kept as it was: {problem.message}")
            if new.host is not None:
                await self._hosts.end(new.host)
            return
        if old in self._team.members:
            self._team.members[self._team.members.index(old)] = new
        else:
            self._team.members.append(new)
        self._marks.pop(old.entry, None)
        self._marks[entry] = await asyncio.to_thread(_marks, _files(new))
        self._serve()
        self._say(f"{entry.source} was loaded again")
        if old.host is not None:
            await self._hosts.end(old.host, _CHANGED)

    def _serve(self) -> None:
        """Have the registry hold the agents of the team as it is now."""
        agents = self._team.agents
        try:
            self._registry.replace(self._served, agents)
        except AgentError as error:  # the id of a coordinator
            self._say(f"agents are kept as they were: {error}")
        else:
            self._served = [agent.id for agent in agents]


@contextlib.asynccontextmanager
async def reloading(reloader: Reloader) -> AsyncIterator[None]:
    """Have ``reloader`` watch until the block ends."""
    await reloader.begin()
    watching = asyncio.create_task(reloader.watch(), name="reload")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def _files(member: Member) -> list[Path]:
    """The files that a member is made of; of one that could not be loaded, all beside it."""
    name = member.entry.source.partition(":")[0]
    path = Path(name)
    if path.is_dir():
        found = [*path.glob("*.py"), *path.glob("*/agent.py")]
    elif path.suffix == ".py" or "/" in name:
        found = [path] if member.host else [path, *path.parent.glob("*.py")]
    else:
        found = []
    return [*found, *(member.host.files if member.host else ())][:_MAX_FILES]


def _marks(files: Sequence[Path]) -> Marks:
    found: dict[Path, tuple[int, int] | None] = {}
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found[file] = None
        else:
            found[file] = (stat.st_mtime_ns, stat.st_size)
    return found
