"""Watched folders whose news is asked for from time to time, as the synchronous SDK does."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codin.gateway.e2b.errors import NotThere, TooMany, told
from codin.sandbox.base import Sandbox
from codin.sandbox.filesystem import FileChange

MAX_WATCHERS = 8
"""The most folders of one sandbox that are watched at the same time: a machine has few to give."""

MAX_KEPT = 10_000
"""The most changes that are kept for one that is not asked."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What has happened below ``path``; with ``entries`` the entries are wanted too."""

    path: str
    entries: bool
    changes: Sequence[FileChange]


class _Watcher:
    def __init__(self, path: str, *, entries: bool) -> None:
        self.path = path
        self.entries = entries
        self.changes: deque[FileChange] = deque()
        self.error: Exception | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None]

    async def run(self, sandbox: Sandbox, *, recursive: bool) -> None:
        try:
            async with sandbox.fs.watch(self.path, recursive=recursive) as changes:
                self.ready.set_result(None)
                async for change in changes:
                    if len(self.changes) >= MAX_KEPT:
                        self.error = TooMany("too much happened for what asks so rarely")
                        return
                    self.changes.append(change)
        except Exception as error:
            self.error = told(error, sandbox.id)
            if not self.ready.done():
                self.ready.set_exception(self.error)


class Watchers:
    """The watched folders of one sandbox, by ids that are given out."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._watchers: dict[str, _Watcher] = {}
        self._streams = 0

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Around a watch whose news goes out as it comes.

        Raises:
            TooMany: as ``add``.
        """
        self._check_room()
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def add(self, path: str, *, recursive: bool, entries: bool) -> str:
        """Watch a folder from now on; gives the id to ask by.

        Raises:
            TooMany, E2bError: it cannot be watched.
        """
        self._check_room()
        watcher = _Watcher(path, entries=entries)
        watcher.task = asyncio.create_task(watcher.run(self._sandbox, recursive=recursive))
        identity = secrets.token_hex(8)
        self._watchers[identity] = watcher
        try:
            await watcher.ready
        except BaseException:
            await self.remove(identity)
            raise
        return identity

    def take(self, identity: str) -> Taken:
        """What has happened since it was asked last.

        Raises:
            NotThere: no such watcher.
            E2bError: it watches no more.
        """
        watcher = self._find(identity)
        changes = list(watcher.changes)
        watcher.changes.clear()
        if not changes and watcher.error is not None:
            raise watcher.error
        return Taken(watcher.path, watcher.entries, changes)

    async def remove(self, identity: str) -> None:
        """Watch no more. Raises ``NotThere``."""
        watcher = self._find(identity)
        del self._watchers[identity]
        watcher.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher.task

    async def close(self) -> None:
        """End all of them."""
        for identity in list(self._watchers):
            await self.remove(identity)

    def _check_room(self) -> None:
        if len(self._watchers) + self._streams >= MAX_WATCHERS:
            raise TooMany(f"{MAX_WATCHERS} folders of this sandbox are watched: end a watch first")

    def _find(self, identity: str) -> _Watcher:
        if identity not in self._watchers:
            raise NotThere(f"watcher {identity[:100]!r} not found")
        return self._watchers[identity]
