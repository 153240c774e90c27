"""Contents as files of a folder, which processes on one machine or a shared file system use."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from codin.database import Durability
from codin.task.artifacts.base import ArtifactStore, check_digest, digest_of, verified
from codin.task.errors import ArtifactError, DamagedArtifact, UnknownArtifact

_UNDONE = ".put-"
_LOCK = ".lock"


class FileArtifacts(ArtifactStore):
    """The files below ``folder``, which is made, readable by its user only, by the first ``put``.

    A file's time is when it was put last. With ``durability="full"`` a ``put`` waits for the disk.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, durability: Durability = "process"
    ) -> None:
        self._folder = Path(folder)
        self._lasting = durability == "full"

    async def put(self, content: bytes) -> str:
        return await asyncio.to_thread(self._put, content)

    async def get(self, digest: str) -> bytes:
        return await asyncio.to_thread(self._get, check_digest(digest))

    async def old(self, seconds: float, *, after: str = "", limit: int = 1000) -> list[str]:
        return await asyncio.to_thread(self._old, time.time() - seconds, after, limit)

    async def remove(self, digest: str, *, seconds: float) -> int | None:
        return await asyncio.to_thread(self._remove, check_digest(digest), time.time() - seconds)

    async def sweep(self, seconds: float) -> None:
        await asyncio.to_thread(self._sweep, time.time() - seconds)

    def _put(self, content: bytes) -> str:
        digest = digest_of(content)
        path = self._path(digest)
        with self._failing("be stored"):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with self._held(fcntl.LOCK_SH):
                if self._stands(digest):
                    os.utime(path)
                else:
                    self._write(path, content)
        return digest

    def _stands(self, digest: str) -> bool:
        """Whether the whole content is there: a damaged one is written anew."""
        try:
            self._get(digest)
        except (UnknownArtifact, DamagedArtifact):
            return False
        return True

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, made = tempfile.mkstemp(prefix=_UNDONE, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if self._lasting:
                    os.fsync(file.fileno())
            os.replace(made, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise
        if self._lasting:
            for folder in (path.parent, self._folder, self._folder.parent):
                _sync(folder)

    def _get(self, digest: str) -> bytes:
        path = self._path(digest)
        try:
            with self._failing("be read"):
                return verified(digest, path.read_bytes(), str(path))
        except FileNotFoundError as error:
            raise UnknownArtifact(digest) from error

    def _old(self, before: float, after: str, limit: int) -> list[str]:
        found: list[str] = []
        with self._failing("be listed"):
            for shard in self._shards(after[:2]):
                for file in sorted(shard.iterdir()):
                    with contextlib.suppress(FileNotFoundError):
                        if file.name > after and _stood(file, before):
                            found.append(file.name)
                if len(found) >= limit:
                    break
        return found[:limit]

    def _remove(self, digest: str, before: float) -> int | None:
        path = self._path(digest)
        held = self._held(fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError), self._failing("be removed"), held:
            found = path.stat()
            if found.st_mtime < before:
                path.unlink()
                return found.st_size
        return None

    def _sweep(self, before: float) -> None:
        with self._failing("be swept"):
            for shard in self._shards():
                for file in shard.glob(f"{_UNDONE}*"):
                    with contextlib.suppress(FileNotFoundError):
                        if file.stat().st_mtime < before:
                            file.unlink()

    def _shards(self, first: str = "") -> list[Path]:
        if not self._folder.is_dir():
            return []
        found = (path for path in self._folder.iterdir() if path.is_dir())
        return sorted(path for path in found if path.name >= first)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    @contextlib.contextmanager
    def _held(self, how: int) -> Iterator[None]:
        """Between a look at a file's time and its removal nobody may put it again."""
        with open(self._folder / _LOCK, "a") as lock:
            fcntl.flock(lock, how)
            yield

    @contextlib.contextmanager
    def _failing(self, done: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ArtifactError(
                f"a large content of a task cannot {done} in {self._folder}: "
                f"{error.strerror or error}"
            ) from error


def _stood(file: Path, before: float) -> bool:
    return not file.name.startswith(".") and file.stat().st_mtime < before


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
