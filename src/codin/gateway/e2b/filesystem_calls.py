"""envd's service ``filesystem.Filesystem``: folders, what is in them, and what happens there."""

from __future__ import annotations

import asyncio
import posixpath
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, suppress
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.routing import Route

from codin.gateway.e2b.body import text_of
from codin.gateway.e2b.connect import Message, server_stream, silence_of, timeout_of, unary
from codin.gateway.e2b.errors import AlreadyThere, BadRequest, TooLarge, TooLate, TooMany
from codin.gateway.e2b.paths import USER, absolute, check_user, sandbox_of
from codin.sandbox.errors import PermissionDenied, SandboxError, SandboxFileNotFound
from codin.sandbox.filesystem import ChangeKind, FileChange, FileInfo, FileSystem

MAX_ENTRIES = 20_000
"""The most entries of one answer."""

_KINDS = {
    ChangeKind.CREATED: "EVENT_TYPE_CREATE",
    ChangeKind.MODIFIED: "EVENT_TYPE_WRITE",
    ChangeKind.REMOVED: "EVENT_TYPE_REMOVE",
    ChangeKind.MOVED: "EVENT_TYPE_RENAME",
    ChangeKind.ATTRIBUTES: "EVENT_TYPE_CHMOD",
}


async def _stat(request: Request, message: Message) -> Message:
    fs, path = _asked(request, message)
    return {"entry": await _entry_at(fs, path)}


async def _make_dir(request: Request, message: Message) -> Message:
    fs, path = _asked(request, message)
    if not await fs.make_dir(path):
        raise AlreadyThere(f"directory already exists: {path}")
    return {"entry": await _entry_at(fs, path)}


async def _move(request: Request, message: Message) -> Message:
    fs, source = _asked(request, message, "source")
    target = absolute(text_of(message, "destination"))
    await fs.move(source, target)
    return {"entry": await _entry_at(fs, target)}


async def _remove(request: Request, message: Message) -> Message:
    fs, path = _asked(request, message)
    with suppress(SandboxFileNotFound):  # as envd: what is not there is removed already
        await fs.remove(path)
    return {}


async def _list_dir(request: Request, message: Message) -> Message:
    fs, path = _asked(request, message)
    depth = message.get("depth") or 1
    if not isinstance(depth, int) or depth < 0:
        raise BadRequest("depth is a number of levels")
    found = await fs.stat(path)
    if not found.is_dir:
        raise BadRequest(f"path is not a directory: {path}")
    return {"entries": [_entry(info) for info in await _listed(fs, path, depth)]}


async def _listed(fs: FileSystem, path: str, depth: int) -> list[FileInfo]:
    found = level = await fs.list(path)
    for _ in range(depth - 1):
        inner: list[FileInfo] = []
        for folder in (info for info in level if info.is_dir):
            with suppress(SandboxFileNotFound):  # it went in the meantime
                inner += await fs.list(folder.path)
            if len(found) + len(inner) > MAX_ENTRIES:
                raise TooLarge(f"more than {MAX_ENTRIES:,} entries: list a smaller folder")
        if not inner:
            break
        found, level = [*found, *inner], inner
    return sorted(found, key=lambda info: info.path)


async def _watch_dir(request: Request, message: Message) -> AsyncGenerator[Message, None]:
    fs, path = _asked(request, message)
    entries, recursive = bool(message.get("includeEntry")), bool(message.get("recursive"))
    with sandbox_of(request).watchers.stream():
        async with fs.watch(path, recursive=recursive) as changes:
            yield {"start": {}}
            async with aclosing(_paced(request, changes)) as paced:
                async for change in paced:
                    if change is None:
                        yield {"keepalive": {}}
                    else:
                        yield {"filesystem": await _event(fs, path, change, entries=entries)}


async def _paced(
    request: Request, changes: AsyncIterator[FileChange]
) -> AsyncGenerator[FileChange | None, None]:
    """``changes`` for as long as the caller wants them; ``None`` when it wants a sign of life."""
    silence, deadline = silence_of(request), _deadline(request)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        waits = [seconds for seconds in (silence, left) if seconds is not None]
        try:
            yield await asyncio.wait_for(anext(changes), min(waits, default=None))
        except StopAsyncIteration:
            return
        except TimeoutError:
            if left is not None and (silence is None or left <= silence):
                raise TooLate("the watch is as old as the caller let it be") from None
            yield None


def _deadline(request: Request) -> float | None:
    seconds = timeout_of(request)
    return None if seconds is None else time.monotonic() + seconds


async def _create_watcher(request: Request, message: Message) -> Message:
    _, path = _asked(request, message)
    recursive, entries = bool(message.get("recursive")), bool(message.get("includeEntry"))
    watchers = sandbox_of(request).watchers
    return {"watcherId": await watchers.add(path, recursive=recursive, entries=entries)}


async def _watcher_events(request: Request, message: Message) -> Message:
    served = sandbox_of(request)
    taken = served.watchers.take(text_of(message, "watcherId"))
    fs = served.sandbox.fs
    events = [
        await _event(fs, taken.path, change, entries=taken.entries) for change in taken.changes
    ]
    return {"events": events}


async def _remove_watcher(request: Request, message: Message) -> Message:
    await sandbox_of(request).watchers.remove(text_of(message, "watcherId"))
    return {}


async def _event(fs: FileSystem, root: str, change: FileChange, *, entries: bool) -> Message:
    if change.kind is ChangeKind.LOST:
        raise TooMany("more happened than could be told: watch anew, and list the folder")
    inside = change.path.removeprefix(f"{root}/") if change.path != root else "."
    event: Message = {"name": inside, "type": _KINDS[change.kind]}
    gone = change.kind in {ChangeKind.REMOVED, ChangeKind.MOVED}
    if entries and not gone:
        with suppress(SandboxError):
            event["entry"] = await _entry_at(fs, change.path)
    return event


async def _entry_at(fs: FileSystem, path: str) -> Message:
    info = await fs.stat(path, follow=False)
    if info.link is not None:
        with suppress(SandboxFileNotFound, PermissionDenied):
            return _entry(info, is_dir=(await fs.stat(path)).is_dir)
    return _entry(info)


def _entry(info: FileInfo, *, is_dir: bool | None = None) -> Message:
    folder = info.is_dir if is_dir is None else is_dir
    kind = "FILE_TYPE_DIRECTORY" if folder else "FILE_TYPE_FILE"
    changed = datetime.fromtimestamp(info.modified, UTC)
    entry: Message = {
        "name": posixpath.basename(info.path) or "/",
        "type": kind,
        "path": info.path,
        "size": str(info.size),
        "mode": info.mode,
        "permissions": stat.filemode(info.mode | _type_bits(info)),
        "owner": USER,
        "group": USER,
        "modifiedTime": changed.isoformat().replace("+00:00", "Z"),
    }
    if info.link is not None:
        entry |= {"isSymlink": True, "symlinkTarget": info.link}
    return entry


def _type_bits(info: FileInfo) -> int:
    if info.link is not None:
        return stat.S_IFLNK
    return stat.S_IFDIR if info.is_dir else stat.S_IFREG


def _asked(request: Request, message: Message, name: str = "path") -> tuple[FileSystem, str]:
    check_user(request)
    return sandbox_of(request).sandbox.fs, absolute(text_of(message, name))


def _routes() -> Iterable[Route]:
    calls = {
        "Stat": unary(_stat),
        "MakeDir": unary(_make_dir),
        "Move": unary(_move),
        "Remove": unary(_remove),
        "ListDir": unary(_list_dir),
        "WatchDir": server_stream(_watch_dir),
        "CreateWatcher": unary(_create_watcher),
        "GetWatcherEvents": unary(_watcher_events),
        "RemoveWatcher": unary(_remove_watcher),
    }
    for name, endpoint in calls.items():
        yield Route(f"/filesystem.Filesystem/{name}", endpoint, methods=["POST"])


ROUTES = list(_routes())
