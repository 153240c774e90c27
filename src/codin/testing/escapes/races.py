"""Calls of the host's on a path that code inside swaps for another meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from codin.sandbox.errors import PermissionDenied, SandboxFileNotFound
from codin.sandbox.filesystem import FileSystem
from codin.testing.escapes.base import Act, Attempt, Ground, Held
from codin.testing.escapes.careless import Careless, made


@asynccontextmanager
async def _swapping(ground: Ground) -> AsyncIterator[None]:
    """A folder that turns into a link to the host's and back, as fast as code inside can."""
    await made(
        ground,
        "os.mkdir('d'); open('d/secret', 'w').write('mine'); open('d/victim', 'w').write('mine')\n"
        "os.symlink(H['folder'], 'link')",
    )
    swap = (
        "import os\nos.chdir('/workspace')\nwhile True:\n"
        "    os.rename('d', 'kept'); os.rename('link', 'd')\n"
        "    os.rename('d', 'link'); os.rename('kept', 'd')\n"
    )
    running = asyncio.ensure_future(ground.sandbox.exec([ground.python, "-c", swap]))
    await asyncio.sleep(0.3)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _race(
    step: Callable[[FileSystem], Awaitable[bytes | None]],
) -> Callable[[Ground], Awaitable[str]]:
    async def attempt(ground: Ground) -> str:
        tried = worked = 0
        async with _swapping(ground):
            until = asyncio.get_running_loop().time() + 2
            while asyncio.get_running_loop().time() < until:
                tried += 1
                with contextlib.suppress(PermissionDenied, SandboxFileNotFound, OSError):
                    data = await step(ground.fs)
                    worked += 1
                    if data and ground.scene.secret.encode() in data:
                        return f"the secret, after {tried} calls"
                if found := ground.scene.touched():
                    return f"{found}, after {tried} calls"
                await asyncio.sleep(0)
        if not worked:
            raise RuntimeError(f"none of {tried} calls met the folder")
        raise Held("nothing")

    return attempt


async def _race_read(fs: FileSystem) -> bytes:
    return await fs.read("d/secret")


async def _race_write(fs: FileSystem) -> None:
    await fs.write("d/new", b"x")


async def _race_remove(fs: FileSystem) -> None:
    await fs.write("d/victim", b"mine")
    await fs.remove("d/victim")


async def _race_move(fs: FileSystem) -> None:
    await fs.write("moved", b"x")
    await fs.move("moved", "d/moved")


async def _race_download(fs: FileSystem) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "copy")
        await fs.download("d/secret", target)
        return await asyncio.to_thread(target.read_bytes)


def _raced(
    identity: str, verb: str, step: Callable[[FileSystem], Awaitable[bytes | None]]
) -> Attempt:
    tries = f"swap a folder for a link while the host {verb}"
    return Attempt(identity, tries, ("nothing",), Act(_race(step)), Careless(), own=True)


ATTEMPTS = (
    _raced("fs-race-read", "reads", _race_read),
    _raced("fs-race-write", "writes", _race_write),
    _raced("fs-race-remove", "removes", _race_remove),
    _raced("fs-race-move", "moves", _race_move),
    _raced("fs-race-download", "downloads", _race_download),
)
