"""Files as somebody careless would reach them: the control of calls on files."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from codin.sandbox.base import SandboxSpec
from codin.sandbox.filesystem import ChangeKind, FileChange, FileInfo, FileSystem
from codin.sandbox.local import LocalSandboxProvider
from codin.testing.escapes.base import Attempt, Control, Ground, Outcome, outcome
from codin.testing.escapes.scene import Scene


class CarelessFileSystem(FileSystem):
    """Files as somebody careless would reach them: the folder and the path, joined and opened."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    async def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        def read() -> bytes:
            with open(self._at(path), "rb") as file:
                return file.read(-1 if max_bytes is None else max_bytes)

        return await asyncio.to_thread(read)

    async def write(self, path: str, data: bytes) -> None:
        self._at(path).write_bytes(data)

    async def list(self, path: str = ".", *, recursive: bool = False) -> list[FileInfo]:
        names = await asyncio.to_thread(self._listed, path)
        return [FileInfo(f"/workspace/{name}", False, 0, 0.0) for name in names]

    async def stat(self, path: str, *, follow: bool = True) -> FileInfo:
        found = self._at(path).stat(follow_symlinks=follow)
        return FileInfo(path, stat.S_ISDIR(found.st_mode), found.st_size, found.st_mtime)

    async def remove(self, path: str) -> None:
        at = self._at(path)
        shutil.rmtree(at) if at.is_dir() else at.unlink()

    async def move(self, source: str, target: str) -> None:
        os.rename(self._at(source), self._at(target))

    async def make_dir(self, path: str) -> bool:
        await asyncio.to_thread(os.mkdir, self._at(path))
        return True

    @asynccontextmanager
    async def watch(
        self, path: str = ".", *, recursive: bool = False
    ) -> AsyncIterator[AsyncIterator[FileChange]]:
        yield self._new(self._at(path))

    async def _new(self, folder: Path) -> AsyncIterator[FileChange]:
        before = set(await asyncio.to_thread(os.listdir, folder))
        while True:
            await asyncio.sleep(0.02)
            now = set(await asyncio.to_thread(os.listdir, folder))
            for name in now - before:
                yield FileChange(name, ChangeKind.CREATED)
            before = now

    def _listed(self, path: str) -> Sequence[str]:
        listed = subprocess.run(["ls", "-A", self._at(path)], stdout=subprocess.PIPE, check=True)
        return listed.stdout.decode().splitlines()

    def _at(self, path: str) -> Path:
        return self._workspace / path.removeprefix("/workspace/")


@dataclass(frozen=True, slots=True)
class Careless(Control):
    """The same calls, answered by somebody who joins paths and opens them."""

    words: str = "the host opens the path as it was given"

    async def __call__(self, attempt: Attempt, scene: Scene) -> Outcome:
        provider = LocalSandboxProvider()
        try:
            async with await provider.create(SandboxSpec(limits=attempt.limits)) as sandbox:
                ground = Ground(sandbox, scene, sandbox.fs, sys.executable, attempt.limits)
                ground.fs = CarelessFileSystem(ground.workspace)
                return await outcome(attempt.payload, ground)
        finally:
            await provider.close()


async def made(ground: Ground, code: str) -> None:
    """Have code inside make something in the workspace."""
    facts = ground.scene.facts()
    text = f"import os, socket\nH = {facts!r}\nos.chdir('/workspace')\n{code}"
    result = await ground.sandbox.exec([ground.python, "-c", text])
    if result.exit_code:
        raise RuntimeError(result.stderr.decode(errors="replace"))
