"""The files of a goal: one folder that its runs share, and safe ways for the host to read it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import mimetypes
import os
import re
import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from codin.errors import InvalidInputError, NotFoundError
from codin.sandbox.base import WORKSPACE, Mount
from codin.security import Principal

DATA = "data"
"""The folder of the workspace at which the operator's data is shown, read-only."""

_GOAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_DEPTH = 32
_CHUNK = 256 * 1024
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, or opening a named pipe that code inside has made would wait for ever.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class WorkspaceFile:
    """A file that a goal has made. ``size`` in bytes, ``modified`` in nanoseconds since the epoch.

    ``path`` is relative to the workspace; ``media_type`` is guessed from its name alone.
    """

    path: str
    size: int
    modified: int
    media_type: str


class OpenFile:
    """A file opened for reading; ``info`` is of the very file that was opened. Close it."""

    def __init__(self, fd: int, info: WorkspaceFile) -> None:
        self._file = os.fdopen(fd, "rb", buffering=0)
        self.info = info

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes, in pieces."""
        while chunk := await asyncio.to_thread(self._file.read, _CHUNK):
            yield chunk

    async def read(self, max_bytes: int) -> bytes:
        """Up to ``max_bytes`` of it, from where the last reading ended."""
        parts: list[bytes] = []
        left = max_bytes
        while left and (part := await asyncio.to_thread(self._file.read, min(left, _CHUNK))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close it. Safe to call twice."""
        self._file.close()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Workspaces:
    """One folder for each goal under ``root``, apart for each principal.

    ``data`` are folders or files of the operator's, shown read-only in each sandbox: a single
    folder at ``/workspace/data``, several (or files) below it by their names. What is in a goal's
    folder was written by code that nobody has read: it is opened without following links.
    """

    def __init__(self, root: Path, *, data: Sequence[Path] = ()) -> None:
        self._root = root
        self.mounts = _mounts([path.resolve() for path in data])

    async def folder(self, principal: Principal, goal_id: str) -> Path:
        """The goal's folder on the host, made when it is missing, closed to other users.

        Raises:
            InvalidInputError: the id cannot name a folder.
        """
        path = self._path(principal, goal_id)
        await asyncio.to_thread(_make_private, [self._root, path.parent, path])
        return path

    async def files(
        self, principal: Principal, goal_id: str, *, most: int = 2000
    ) -> list[WorkspaceFile]:
        """The goal's files by path, up to ``most``; links and special files are left out."""
        path = self._path(principal, goal_id)
        return await asyncio.to_thread(lambda: sorted(_walk(path, most), key=lambda f: f.path))

    async def open(self, principal: Principal, goal_id: str, path: str) -> OpenFile:
        """Open a file of the goal's for reading.

        Raises:
            NotFoundError: no such regular file for this principal; a link is none.
        """
        folder = self._path(principal, goal_id)
        return await asyncio.to_thread(_open_beneath, folder, path)

    async def remove(self, principal: Principal, goal_id: str) -> None:
        """Remove the goal's folder with all that is in it. Removing none does nothing."""
        import shutil

        folder = self._path(principal, goal_id)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _path(self, principal: Principal, goal_id: str) -> Path:
        if not _GOAL_ID.fullmatch(goal_id):
            raise InvalidInputError(f"{goal_id[:80]!r} cannot be the id of a goal")
        # A subject may be any text, also one that is no folder's name.
        owner = hashlib.sha256(f"{principal.tenant}\0{principal.subject}".encode()).hexdigest()
        return self._root / owner[:24] / goal_id


def _mounts(data: Sequence[Path]) -> tuple[Mount, ...]:
    missing = [path for path in data if not path.exists()]
    if missing:
        raise InvalidInputError(f"there is no data at {missing[0]}; give a folder or a file")
    if len(data) == 1 and data[0].is_dir():
        return (Mount(data[0], f"{WORKSPACE}/{DATA}"),)
    names = [path.name for path in data]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"two of the data paths are named {twice[0]!r}; rename one")
    return tuple(Mount(path, f"{WORKSPACE}/{DATA}/{path.name}") for path in data)


def _make_private(folders: Sequence[Path]) -> None:
    folders[0].mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in folders[1:]:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def _walk(folder: Path, most: int) -> list[WorkspaceFile]:
    try:
        root = os.open(folder, _FOLDER_FLAGS)
    except OSError:
        return []
    found: list[WorkspaceFile] = []
    try:
        for at, folders, names, fd in os.fwalk(".", dir_fd=root, follow_symlinks=False):
            place = PurePosixPath(at)
            if len(place.parts) >= _MAX_DEPTH:
                folders.clear()
            for name in names:
                with contextlib.suppress(OSError):
                    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode):
                        found.append(_file(str(place / name), info))
                if len(found) >= most:
                    return found
    finally:
        os.close(root)
    return found


def _open_beneath(folder: Path, path: str) -> OpenFile:
    wanted = PurePosixPath(path)
    if wanted.is_absolute() and wanted.is_relative_to(WORKSPACE):
        wanted = wanted.relative_to(WORKSPACE)
    parts = wanted.parts
    absent = NotFoundError(f"the goal has no file {path[:200]!r}")
    if not parts or wanted.is_absolute() or ".." in parts or "\0" in path:
        raise absent
    at = -1
    try:
        at = os.open(folder, _FOLDER_FLAGS)
        for part in parts[:-1]:
            below = os.open(part, _FOLDER_FLAGS, dir_fd=at)
            os.close(at)
            at = below
        return _opened(os.open(parts[-1], _FILE_FLAGS, dir_fd=at), str(wanted), absent)
    except OSError as error:
        raise absent from error
    finally:
        if at >= 0:
            os.close(at)


def _opened(fd: int, path: str, absent: NotFoundError) -> OpenFile:
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise absent
    return OpenFile(fd, _file(path, info))


def _file(path: str, info: os.stat_result) -> WorkspaceFile:
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return WorkspaceFile(path, info.st_size, info.st_mtime_ns, kind)
