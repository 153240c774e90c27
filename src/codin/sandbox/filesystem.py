"""The contract of the files inside a sandbox."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MAX_READ_BYTES = 256 * 1024 * 1024
"""The largest file that is read whole into this process."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One entry of a folder. ``size`` in bytes, ``modified`` in seconds since the epoch.

    ``mode`` has the permission bits; ``link`` is where a symbolic link points to, as it says.
    """

    path: str
    is_dir: bool
    size: int
    modified: float
    mode: int = 0
    link: str | None = None


class ChangeKind(StrEnum):
    """What happened to a file or folder.

    What is moved is told as ``MOVED`` at its old path and as ``CREATED`` at its new one.
    ``LOST`` says, at the watched folder, that more happened than could be kept: list it anew.
    """

    CREATED = "created"
    MODIFIED = "modified"
    REMOVED = "removed"
    MOVED = "moved"
    ATTRIBUTES = "attributes"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class FileChange:
    """Something that happened below a watched folder, to what is or was at ``path``."""

    path: str
    kind: ChangeKind


class FileSystem(ABC):
    """Files inside a sandbox. Paths are inside it, always; relative ones start at ``/workspace``.

    Raises, for every verb: ``PermissionDenied`` for a path outside of what may be seen or written
    (also through links and ``..``), ``SandboxFileNotFound``, ``SandboxGone``.
    """

    @abstractmethod
    async def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """The bytes of a file: the first ``max_bytes`` of it, or all.

        Raises:
            OutputLimit: all was asked for, and it is more than ``MAX_READ_BYTES``.
        """

    @abstractmethod
    async def write(self, path: str, data: bytes) -> None:
        """Write the whole file, making the folders that are missing.

        Raises:
            DiskLimit: there would be more on disk than ``Limits.disk_bytes``.
        """

    @abstractmethod
    async def list(self, path: str = ".", *, recursive: bool = False) -> list[FileInfo]: ...

    @abstractmethod
    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        """What is at a path; without ``follow`` a link at its end is told as one."""

    @abstractmethod
    async def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""

    @abstractmethod
    async def move(self, source: str, target: str) -> None: ...

    @abstractmethod
    async def make_dir(self, path: str) -> bool:
        """Make a folder, and those above it that are missing; false when it was there already.

        Raises:
            PermissionDenied: there is something else at that path.
        """

    @abstractmethod
    def watch(
        self, path: str = ".", *, recursive: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[FileChange]]:
        """What happens in a folder, from entering the block on; with ``recursive`` also in all
        folders below it, those that come later too.

        The iteration ends when the folder itself goes (``REMOVED`` or ``MOVED``, at its path).

        Raises:
            PermissionDenied: there is no folder but something else at that path.
            SandboxUnavailable: this machine lets no more folders be watched, or cannot watch.
            SandboxGone: raised by the iteration when the sandbox has ended.
        """

    async def upload(self, host_path: Path, path: str) -> None:
        """Copy a file of the host in."""
        import anyio

        await self.write(path, await anyio.Path(host_path).read_bytes())

    async def download(self, path: str, host_path: Path) -> None:
        """Copy a file out to the host."""
        import anyio

        await anyio.Path(host_path).write_bytes(await self.read(path))
