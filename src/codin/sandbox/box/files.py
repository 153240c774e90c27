"""Files of a sandbox, reached from the host without following anything that code inside made.

Every folder on the way is opened by name below the one before, and links are read and resolved
here, as the sandbox would see them. The kernel is never asked to follow a link or ``..``, so a
path cannot be swapped for one that leads outside while it is walked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from codin.sandbox.base import WORKSPACE, Mount
from codin.sandbox.box.watch import FolderWatch, part_name
from codin.sandbox.box.watchdog import disk_usage
from codin.sandbox.errors import DiskLimit, OutputLimit, PermissionDenied, SandboxFileNotFound
from codin.sandbox.filesystem import MAX_READ_BYTES, FileChange, FileInfo, FileSystem

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_LINKS = 40
_MAX_DEPTH = 128
MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open folder; ``name`` is empty for the root of a mount."""

    folder: int
    name: str
    path: str
    writable: bool


class Tree:
    """The files below the mounts of one sandbox, by their paths inside. Blocking calls.

    ``kernel`` are folders inside that only look like files. What is made belongs to ``owner``.
    """

    def __init__(
        self,
        workspace: Path,
        mounts: Sequence[Mount],
        kernel: Sequence[str] = (),
        owner: int | None = None,
    ) -> None:
        roots = [*mounts, Mount(workspace, WORKSPACE, writable=True)]
        self._roots = {PurePosixPath(mount.target): mount for mount in roots}
        self._kernel = kernel
        self._owner = owner

    def read(self, path: str, limit: int, *, all_of_it: bool) -> bytes:
        """At most ``limit`` bytes; more than that is an error when ``all_of_it`` is asked for."""
        with self._place(path) as place, _told(path):
            fd = os.open(place.name or ".", os.O_RDONLY | _FILE, dir_fd=place.folder)
            try:
                _check_regular(fd, path)
                with open(fd, "rb", closefd=False) as file:
                    data = file.read(limit + 1)
            finally:
                os.close(fd)
        if all_of_it and len(data) > limit:
            raise OutputLimit(f"{path} is larger than {limit} bytes; read it with max_bytes")
        return data[:limit]

    def write(self, path: str, data: bytes) -> None:
        with self._place(path, make=True, write=True) as place, _told(path):
            mode = _mode_of(place)
            part = part_name(place.name, fresh=mode is None)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE
            fd = os.open(part, flags, 0o644, dir_fd=place.folder)
            try:
                with open(fd, "wb") as file:
                    file.write(data)
                    if mode is not None:
                        os.fchmod(fd, mode)
                    if self._owner is not None:
                        os.fchown(fd, self._owner, self._owner)
                os.rename(part, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            except OSError:
                os.unlink(part, dir_fd=place.folder)
                raise

    def make_dir(self, path: str) -> bool:
        with self._place(path, make=True, write=True) as place, _told(path):
            if not place.name:
                return False
            try:
                self._make_folder(place.folder, place.name)
            except FileExistsError:
                found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    return False
                raise
            return True

    @contextlib.contextmanager
    def folder(self, path: str, *, follow: bool = True) -> Iterator[int]:
        """The folder at ``path``, open; with ``follow`` a link to one will do."""
        with self._place(path, follow=follow) as place, _told(path):
            try:
                fd = os.open(place.name or ".", _FOLDER, dir_fd=place.folder)
            except NotADirectoryError as error:
                raise PermissionDenied(f"{path} is not a folder") from error
        try:
            yield fd
        finally:
            os.close(fd)

    def list(self, path: str, *, recursive: bool) -> list[FileInfo]:
        found: list[FileInfo] = []
        with self._place(path) as place, _told(path), _opened(place) as folder:
            _scan(folder, place.path, found, _MAX_DEPTH if recursive else 0)
        return sorted(found, key=lambda info: info.path)

    def stat(self, path: str, *, follow: bool) -> FileInfo:
        with self._place(path, follow=follow) as place, _told(path):
            if not place.name:
                return _info(place.path, os.fstat(place.folder))
            found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
            return _info(place.path, found, _link(place.folder, place.name))

    def remove(self, path: str) -> None:
        with self._place(path, write=True, follow=False) as place, _told(path):
            if not place.name:
                raise PermissionDenied(f"{path} is a mount and cannot be removed")
            kind = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False).st_mode
            if stat.S_ISDIR(kind):
                shutil.rmtree(place.name, dir_fd=place.folder)
            else:
                os.unlink(place.name, dir_fd=place.folder)

    def move(self, source: str, target: str) -> None:
        with (
            self._place(source, write=True, follow=False) as old,
            self._place(target, make=True, write=True, follow=False) as new,
            _told(source),
        ):
            if not (old.name and new.name):
                raise PermissionDenied(f"{source} or {target} is a mount and cannot be moved")
            os.rename(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)

    @contextlib.contextmanager
    def _place(
        self, path: str, *, make: bool = False, write: bool = False, follow: bool = True
    ) -> Iterator[Place]:
        """The open folder that holds ``path``, with links resolved (the last one by ``follow``)."""
        with contextlib.ExitStack() as stack, _told(path):
            yield self._walk(path, stack, make=make, write=write, follow=follow)

    def _walk(
        self, path: str, stack: contextlib.ExitStack, *, make: bool, write: bool, follow: bool
    ) -> Place:
        wanted = _normal(path)
        for _ in range(_MAX_LINKS):
            root = self._root_of(wanted, path)
            mount = self._roots[root]
            if write and not mount.writable:
                raise PermissionDenied(f"{path} is below {root}, which is read-only")
            names = wanted.relative_to(root).parts
            if mount.source.is_file():
                return self._single(mount, names, path, stack)
            folder = os.open(mount.source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            maker = self._make_folder if make else None
            step = _descend(folder, root, names, stack, make=maker, follow=follow)
            if isinstance(step, Place):
                return Place(step.folder, step.name, step.path, mount.writable)
            wanted = _normal(str(step))
        raise PermissionDenied(f"{path} goes through too many links")

    def _make_folder(self, folder: int, name: str) -> None:
        os.mkdir(name, 0o755, dir_fd=folder)
        if self._owner is not None:
            os.chown(name, self._owner, self._owner, dir_fd=folder, follow_symlinks=False)

    def _root_of(self, wanted: PurePosixPath, path: str) -> PurePosixPath:
        if any(wanted.is_relative_to(folder) for folder in self._kernel):
            raise PermissionDenied(f"{path} is the kernel's; only what runs inside can ask it")
        roots = [root for root in self._roots if wanted.is_relative_to(root)]
        if not roots:
            raise PermissionDenied(
                f"{path} is outside of {', '.join(map(str, self._roots))}; only these are shown"
            )
        return max(roots, key=lambda root: len(root.parts))

    @staticmethod
    def _single(
        mount: Mount, names: tuple[str, ...], path: str, stack: contextlib.ExitStack
    ) -> Place:
        if names:
            raise SandboxFileNotFound(f"{path} is below a file")
        folder = os.open(mount.source.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        return Place(folder, mount.source.name, mount.target, mount.writable)


class BoxFileSystem(FileSystem):
    """The tree of a sandbox, asked in a thread."""

    def __init__(
        self, tree: Callable[[], Tree], disk_bytes: int | None, folders: Sequence[Path]
    ) -> None:
        self._tree = tree
        self._disk_bytes = disk_bytes
        self._folders = folders
        self._watches: set[FolderWatch] = set()

    async def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        limit = MAX_READ_BYTES if max_bytes is None else max_bytes
        return await to_thread(self._tree().read, path, limit, all_of_it=max_bytes is None)

    async def write(self, path: str, data: bytes) -> None:
        await to_thread(self._write, self._tree(), path, data)

    async def list(self, path: str = ".", *, recursive: bool = False) -> list[FileInfo]:
        return await to_thread(self._tree().list, path, recursive=recursive)

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        return await to_thread(self._tree().stat, path, follow=follow)

    async def remove(self, path: str) -> None:
        await to_thread(self._tree().remove, path)

    async def move(self, source: str, target: str) -> None:
        await to_thread(self._tree().move, source, target)

    async def make_dir(self, path: str) -> bool:
        return await to_thread(self._tree().make_dir, path)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str = ".", *, recursive: bool = False
    ) -> AsyncIterator[AsyncIterator[FileChange]]:
        async with FolderWatch(self._tree, str(_normal(path)), recursive=recursive) as watch:
            self._watches.add(watch)
            try:
                yield watch
            finally:
                self._watches.discard(watch)

    def wake(self) -> None:
        """The sandbox has ended: whoever watches is told."""
        for watch in self._watches:
            watch.wake()

    def _write(self, tree: Tree, path: str, data: bytes) -> None:
        limit = self._disk_bytes
        if limit is not None and sum(map(disk_usage, self._folders)) + len(data) > limit:
            raise DiskLimit(f"{path} was not written: the sandbox may hold {limit} bytes")
        tree.write(path, data)


def _check_regular(fd: int, path: str) -> None:
    kind = os.fstat(fd).st_mode
    if stat.S_ISDIR(kind):
        raise PermissionDenied(f"{path} is a folder")
    if not stat.S_ISREG(kind):
        raise PermissionDenied(f"{path} is not a regular file")


def _normal(path: str) -> PurePosixPath:
    """An absolute path inside, without ``..``: these are taken away before any link is looked at.

    Raises:
        PermissionDenied: it climbs above the root, or no path can look so.
    """
    if not path or "\0" in path or not _can_be_written(path):
        raise PermissionDenied(f"{path!r} is no path")
    parts: list[str] = []
    for part in PurePosixPath(WORKSPACE, path).parts[1:]:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise PermissionDenied(f"{path} is outside")
    return PurePosixPath("/", *parts)


def _can_be_written(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _descend(
    folder: int,
    root: PurePosixPath,
    names: tuple[str, ...],
    stack: contextlib.ExitStack,
    *,
    make: Callable[[int, str], None] | None,
    follow: bool,
) -> Place | PurePosixPath:
    """The place at the end, or the path to go on with when a link was met."""
    here = root
    for index, name in enumerate(names):
        last = index == len(names) - 1
        if not (last and not follow):
            link = _link(folder, name)
            if link is not None:
                return here.joinpath(link, *names[index + 1 :])
        if last:
            return Place(folder, name, str(here / name), writable=False)
        if make:
            with contextlib.suppress(FileExistsError):
                make(folder, name)
        folder = os.open(name, _FOLDER, dir_fd=folder)
        stack.callback(os.close, folder)
        here /= name
    return Place(folder, "", str(here), writable=False)


def _link(folder: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOENT}:
            return None
        raise


@contextlib.contextmanager
def _opened(place: Place) -> Iterator[int]:
    fd = os.open(place.name or ".", _FOLDER, dir_fd=place.folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _scan(folder: int, path: str, found: list[FileInfo], depth: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(found) >= MAX_ENTRIES:
                raise OutputLimit(f"more than {MAX_ENTRIES} files; list a smaller folder")
            with contextlib.suppress(FileNotFoundError):  # it went in the meantime
                link = os.readlink(entry.name, dir_fd=folder) if entry.is_symlink() else None
                info = _info(f"{path}/{entry.name}", entry.stat(follow_symlinks=False), link)
                found.append(info)
                if info.is_dir and depth:
                    below = os.open(entry.name, _FOLDER, dir_fd=folder)
                    try:
                        _scan(below, info.path, found, depth - 1)
                    finally:
                        os.close(below)


def _info(path: str, found: os.stat_result, link: str | None = None) -> FileInfo:
    mode = stat.S_IMODE(found.st_mode)
    return FileInfo(
        path, stat.S_ISDIR(found.st_mode), found.st_size, found.st_mtime, mode=mode, link=link
    )


def _mode_of(place: Place) -> int | None:
    """The permissions of the file that is at a place, if there is one."""
    try:
        found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_mode & 0o777


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Errors of the system, told as the sandbox's own."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SandboxFileNotFound(f"there is no {path} inside the sandbox") from error
    except RecursionError as error:
        raise PermissionDenied(f"{path} is nested too deeply") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskLimit(
                f"{path} was not written: the disk that it would be on is full; make room there"
            ) from error
        if error.errno == errno.EMFILE:  # a folder on the way down is one open file
            raise PermissionDenied(f"{path} is nested too deeply") from error
        raise PermissionDenied(f"{path}: {os.strerror(error.errno or errno.EACCES)}") from error
