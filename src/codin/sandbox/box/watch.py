"""What happens in the folders of a sandbox, as the kernel tells it (``inotify(7)``).

Each folder is opened as all files of a sandbox are, without following what code inside made, and
watched by its descriptor: the kernel never gets a path that could have been swapped.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from codin.sandbox.errors import (
    OutputLimit,
    PermissionDenied,
    SandboxFileNotFound,
    SandboxUnavailable,
)
from codin.sandbox.filesystem import ChangeKind, FileChange

if TYPE_CHECKING:
    from inotify_simple import Event

MAX_FOLDERS = 4096
"""The most folders that are watched together."""

_MAX_KNOWN = 20_000
_READ = 64 * 1024
_PART = re.compile(r"\..*\.[0-9a-f]{8}\.(new|old)\.part", re.DOTALL)


class Folders(Protocol):
    """What opens the folders of a sandbox safely."""

    def folder(self, path: str, *, follow: bool = True) -> AbstractContextManager[int]: ...


def part_name(name: str, *, fresh: bool) -> str:
    """What a file is called while it is written. ``fresh`` says that there was none before."""
    return f".{name[:200]}.{os.urandom(4).hex()}.{'new' if fresh else 'old'}.part"


class FolderWatch(AsyncIterator[FileChange]):
    """What happens in one folder, or in all below it too. For one reader.

    What has happened waits in the kernel until it is read; when that is too much, it is told as
    ``LOST``. A file that is written from outside is told as one that is written in its place.
    """

    def __init__(self, tree: Callable[[], Folders], path: str, *, recursive: bool) -> None:
        self._tree = tree
        self._path = path
        self._recursive = recursive
        self._folders: dict[int, str] = {}
        self._known: set[str] = set()
        self._part: tuple[int, bool] | None = None
        self._over = False
        self._ready: deque[FileChange] = deque()
        self._news = asyncio.Event()
        self._reading: asyncio.Future[list[FileChange]] | None = None
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        tree = self._tree()
        beginning = asyncio.ensure_future(asyncio.to_thread(self._begin, tree))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await asyncio.wait([beginning])
            if beginning.exception() is None:
                self._inotify.close()
            raise
        self._loop.add_reader(self._inotify.fileno(), self._told)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._loop.remove_reader(self._inotify.fileno())
        if self._reading is not None:
            await asyncio.wait([self._reading])
        self._inotify.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FileChange:
        while not self._ready:
            if self._over:
                raise StopAsyncIteration
            await self._more()
        return self._ready.popleft()

    def wake(self) -> None:
        """Have the reader look whether the sandbox is still there."""
        self._news.set()

    def _told(self) -> None:
        self._loop.remove_reader(self._inotify.fileno())
        self._news.set()

    async def _more(self) -> None:
        if self._reading is None:
            await self._news.wait()
            self._news.clear()
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._read, self._tree()))
        changes = await asyncio.shield(self._reading)
        self._reading = None
        self._ready.extend(changes)
        self._loop.add_reader(self._inotify.fileno(), self._told)

    def _begin(self, tree: Folders) -> None:
        try:
            from inotify_simple import INotify, flags
        except ImportError as error:
            raise SandboxUnavailable("folders can be watched on Linux only") from error
        self._flags = flags
        coming_and_going = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO
        itself = flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR
        self._mask = coming_and_going | itself | flags.MODIFY | flags.ATTRIB
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError as error:
            raise _refused(error) from error
        try:
            for _ in self._add(tree, self._path, follow=True):
                pass
        except BaseException:
            self._inotify.close()
            raise

    def _add(self, tree: Folders, path: str, *, follow: bool = False) -> Iterator[_Found]:
        """Watch the folder at ``path``, and those below it; gives what is there."""
        todo = [path]
        while todo:
            here = todo.pop()
            try:
                with tree.folder(here, follow=follow and here == path) as fd:
                    self._add_one(fd, here)
                    found = _entries(fd, here) if self._recursive else []
            except (PermissionDenied, SandboxFileNotFound):
                if here == path:
                    raise
                continue  # it went in the meantime
            for each in found:
                todo += [each.path] if each.is_dir else []
                yield each

    def _add_one(self, folder: int, path: str) -> None:
        if len(self._folders) >= MAX_FOLDERS:
            raise OutputLimit(f"more than {MAX_FOLDERS} folders; watch a smaller one")
        try:
            watch = self._inotify.add_watch(f"/proc/self/fd/{folder}", self._mask)
        except OSError as error:
            raise _refused(error) from error
        self._folders[watch] = path

    def _read(self, tree: Folders) -> list[FileChange]:
        from inotify_simple import parse_events

        try:
            data = os.read(self._inotify.fileno(), _READ)
        except BlockingIOError:
            return []
        changes: list[FileChange] = []
        for event in parse_events(data):
            for change in self._changes(tree, event):
                if not changes or changes[-1] != change:
                    changes.append(change)
        return changes

    def _changes(self, tree: Folders, event: Event) -> Iterable[FileChange]:
        flags, mask = self._flags, event.mask
        if mask & flags.Q_OVERFLOW:
            return [FileChange(self._path, ChangeKind.LOST)]
        folder = self._folders.get(event.wd)
        if folder is None:
            return []
        if mask & flags.IGNORED:
            del self._folders[event.wd]
            return []
        if mask & (flags.DELETE_SELF | flags.MOVE_SELF):
            return self._end(folder, removed=bool(mask & flags.DELETE_SELF))
        if not event.name:
            return []
        return self._named(tree, event, f"{folder}/{event.name}")

    def _end(self, folder: str, *, removed: bool) -> list[FileChange]:
        """The watched folder has gone; of others, the folder above tells."""
        if folder != self._path:
            return []
        self._over = True
        return [FileChange(folder, ChangeKind.REMOVED if removed else ChangeKind.MOVED)]

    def _named(self, tree: Folders, event: Event, path: str) -> Iterable[FileChange]:
        flags, mask = self._flags, event.mask
        if part := _PART.fullmatch(event.name):
            if mask & flags.MOVED_FROM:
                self._part = (event.cookie, part[1] == "new")
            return []
        if mask & (flags.DELETE | flags.MOVED_FROM):
            self._known.discard(path)
            if mask & flags.ISDIR:
                self._forget(path)
            gone = ChangeKind.REMOVED if mask & flags.DELETE else ChangeKind.MOVED
            return [FileChange(path, gone)]
        if mask & (flags.CREATE | flags.MOVED_TO):
            return self._came(tree, event, path)
        kind = ChangeKind.MODIFIED if mask & flags.MODIFY else ChangeKind.ATTRIBUTES
        return [FileChange(path, kind)]

    def _came(self, tree: Folders, event: Event, path: str) -> Iterator[FileChange]:
        part, self._part = self._part, None
        written = part is not None and event.mask & self._flags.MOVED_TO and part[0] == event.cookie
        if path in self._known:
            self._known.discard(path)
        elif not (part and written and not part[1]):
            yield FileChange(path, ChangeKind.CREATED)
        if written:
            yield FileChange(path, ChangeKind.MODIFIED)
        if self._recursive and event.mask & self._flags.ISDIR:
            yield from self._below(tree, path)

    def _below(self, tree: Folders, path: str) -> Iterator[FileChange]:
        """What came into a new folder before it was watched."""
        try:
            for found in self._add(tree, path):
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known.add(found.path)
                yield FileChange(found.path, ChangeKind.CREATED)
                if found.filled:
                    yield FileChange(found.path, ChangeKind.MODIFIED)
        except (OutputLimit, SandboxUnavailable):
            yield FileChange(path, ChangeKind.LOST)
        except (PermissionDenied, SandboxFileNotFound):
            return  # it went in the meantime, which is told

    def _forget(self, path: str) -> None:
        """Watch no more what is below a folder that has another path from now on, or none."""
        for watch, folder in list(self._folders.items()):
            if folder == path or folder.startswith(f"{path}/"):
                del self._folders[watch]
                try:
                    self._inotify.rm_watch(watch)
                except OSError:
                    continue  # it went with the folder


@dataclass(frozen=True, slots=True)
class _Found:
    """Something in a folder; ``filled`` says that it is a file with something in it."""

    path: str
    is_dir: bool
    filled: bool


def _entries(folder: int, path: str) -> list[_Found]:
    with os.scandir(folder) as entries:
        return [_found(each, path) for each in entries if not _PART.fullmatch(each.name)]


def _found(entry: os.DirEntry[str], folder: str) -> _Found:
    filled = False
    if entry.is_file(follow_symlinks=False):
        with suppress(FileNotFoundError):
            filled = entry.stat(follow_symlinks=False).st_size > 0
    return _Found(f"{folder}/{entry.name}", entry.is_dir(follow_symlinks=False), filled)


def _refused(error: OSError) -> SandboxUnavailable:
    limits = {errno.EMFILE: "fs.inotify.max_user_instances", errno.ENOSPC: "max_user_watches"}
    if name := limits.get(error.errno or 0):
        return SandboxUnavailable(
            f"this machine lets no more folders be watched ({name}): end other watches, or have "
            "the administrator raise it"
        )
    return SandboxUnavailable(f"the folder cannot be watched: {error.strerror}")
