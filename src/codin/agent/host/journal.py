"""What agent hosts print, kept in files that outlast them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from codin.runtime.base import Deployment

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of one file; the one before it is kept too."""

_HOSTS = "hosts"
_WAIT_SECONDS = 0.2
_MAX_LINES = 2000


class Journal:
    """The file of one host, in a folder. Its agents' ids lead to it, as ``ID.log``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._file = folder / _HOSTS / f"{name}.log"
        self._following: asyncio.Task[None] | None = None

    def follow(self, deployment: Deployment, agents: Sequence[str]) -> None:
        """Keep what ``deployment`` prints, until its end, from its first line."""
        before = self._following
        self._following = asyncio.create_task(self._keep(before, deployment, agents))

    async def close(self) -> None:
        """Return when all that was printed is kept. The deployment has been stopped before."""
        if self._following is not None:
            await asyncio.wait([self._following], timeout=2.0)
            self._following.cancel()
            await asyncio.wait([self._following])

    async def _keep(
        self, before: asyncio.Task[None] | None, deployment: Deployment, agents: Sequence[str]
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await asyncio.to_thread(self._begin, agents)
        pending: list[str] = []
        writing: asyncio.Task[None] | None = None
        async for line in deployment.logs(follow=True):
            pending.append(line)
            if writing is None or writing.done():
                writing = asyncio.create_task(self._write_soon(pending))
            elif len(pending) >= _MAX_LINES:
                await writing
        if writing is not None:
            await writing
        await asyncio.to_thread(self._write, pending)

    async def _write_soon(self, pending: list[str]) -> None:
        while pending:
            await asyncio.sleep(_WAIT_SECONDS)
            lines = list(pending)
            pending.clear()
            await asyncio.to_thread(self._write, lines)

    def _begin(self, agents: Sequence[str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write(["codin: the host was started"])
        for agent in agents:
            link = self._folder / f"{agent}.log"
            with contextlib.suppress(OSError):
                link.unlink(missing_ok=True)
                link.symlink_to(Path(_HOSTS, self._file.name))

    def _write(self, lines: Iterable[str]) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = "".join(f"{stamp} {line}\n" for line in lines)
        with contextlib.suppress(OSError):  # a full disk ends no host
            if text and self._file.exists() and self._file.stat().st_size > MAX_BYTES:
                os.replace(self._file, before(self._file))
            with self._file.open("a", encoding="utf-8", errors="replace") as file:
                file.write(text)


def before(file: Path) -> Path:
    """Where the older lines of ``file`` are."""
    return file.with_name(f"{file.name}.1")


def read(folder: Path, name: str, count: int) -> list[str] | None:
    """The newest ``count`` lines of a host, or of the host of an agent; ``None`` if it is not
    known."""
    places = (folder / f"{name}.log", folder / _HOSTS / f"{name}.log")
    file = next((place.resolve() for place in places if place.is_file()), None)
    if file is None:
        return None
    lines: list[str] = []
    for part in (before(file), file):
        if part.is_file():
            lines += part.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-count:]
