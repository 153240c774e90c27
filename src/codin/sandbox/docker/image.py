"""The image of sandboxes: found, built from a Dockerfile, or made of this machine's own files.

Where a registry is reached, it is the ``Dockerfile`` beside this module. Where none is, the
image is put together from what this machine has: its Python, some thirty tools, and the libraries
that these need. Both carry a label that says where their Python is.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from codin.sandbox.docker.engine import NOT_FOUND, Engine, EngineError
from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.local import layout

REPOSITORY = "codin-sandbox"
LABEL = "codin.python"
"""``host``: the Python of this machine, at its own path. Anything else is its path inside."""

RECIPE = 2
"""Counts up when what is put into an image changes."""

_TOOLS = (
    *("sh", "bash", "cat", "cp", "mv", "rm", "ln", "ls", "mkdir", "rmdir", "mkfifo", "chmod"),
    *("touch", "stat", "head", "tail", "wc", "sort", "uniq", "cut", "tr", "tee", "seq", "date"),
    *("echo", "printf", "printenv", "env", "id", "whoami", "sleep", "timeout", "true", "false"),
    *("test", "expr", "basename", "dirname", "realpath", "readlink", "sha256sum", "base64", "df"),
    *("du", "dd", "yes", "nohup", "nproc", "uname", "grep", "sed", "awk", "find", "xargs", "diff"),
    *("tar", "gzip", "gunzip", "ps", "kill", "setsid", "which", "mktemp", "chown", "od", "pwd"),
    *("curl", "git", "less", "unzip", "zip", "xz"),
)
# What is compiled without checks is not used, the rest would be compiled anew at every start.
_WITHOUT = (
    *(".opt-1.pyc/", ".opt-2.pyc/", "config-3", "ensurepip/", "lib2to3/", "test/", "tests/"),
    *("idlelib/", "tkinter/", "site-packages/", "turtledemo/"),
)
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_BUILD_SECONDS = 600.0
_PULL_SECONDS = 20.0
_LDD_SECONDS = 30.0
_DOCKERFILE = Path(__file__).with_name("Dockerfile")

Base = Literal["auto", "host", "dockerfile"]


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is there.

    ``python`` is where its Python is inside, ``env`` its own environment. ``fits`` says that its
    Python is as this one, and ``ours`` that it is this one, at the same path.
    """

    name: str
    python: str
    env: tuple[str, ...] = ()
    fits: bool = False
    ours: bool = False


async def find_image(engine: Engine, name: str | None, base: Base = "auto") -> Image:
    """The image of that name, pulled where it is not here; without a name, the platform's own.

    Raises:
        SandboxUnavailable: it is not to be had.
    """
    if name is not None:
        return _described(name, await _inspected(engine, name, pull=True))
    if base == "dockerfile" or (base == "auto" and not await _is_here(engine, _host_name())):
        try:
            return await _from_dockerfile(engine)
        except SandboxUnavailable:
            if base == "dockerfile":
                raise
    return await _from_host(engine)


async def _from_dockerfile(engine: Engine) -> Image:
    name = f"{REPOSITORY}:{_digest([_DOCKERFILE.read_text(), _version()])}"
    if not await _is_here(engine, name):
        parent = f"python:{_version()}-slim"
        await _inspected(engine, parent, pull=True)
        context = _tar([("Dockerfile", _DOCKERFILE.read_bytes())])
        await _build(engine, name, context, {"PYTHON": _version()})
    return _described(name, await _inspected(engine, name))


async def _from_host(engine: Engine) -> Image:
    name = await asyncio.to_thread(_host_name)
    if not await _is_here(engine, name):
        await _build(engine, name, await asyncio.to_thread(_host_context), {})
    return _described(name, await _inspected(engine, name))


async def _is_here(engine: Engine, name: str) -> bool:
    try:
        await _inspected(engine, name)
    except EngineError as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return True


async def _inspected(engine: Engine, name: str, *, pull: bool = False) -> dict[str, Any]:
    try:
        async with engine.asked(f"look at the image {name}") as client:
            return dict(await client.images.inspect(name))
    except EngineError as error:
        if error.status != NOT_FOUND or not pull:
            raise
    try:
        async with engine.asked(f"pull the image {name}", _PULL_SECONDS) as client:
            await client.images.pull(name)
            return dict(await client.images.inspect(name))
    except SandboxUnavailable as error:
        raise SandboxUnavailable(
            f"there is no image {name!r}, and it could not be pulled ({error}); "
            "check its name, or load it into the engine"
        ) from error


async def _build(engine: Engine, name: str, context: io.BytesIO, arguments: dict[str, str]) -> None:
    async with engine.asked(f"build the image {name}", _BUILD_SECONDS) as client:
        await client.images.build(
            fileobj=context, encoding="identity", tag=name, rm=True, buildargs=arguments
        )


def _described(name: str, found: dict[str, Any]) -> Image:
    config = found.get("Config") or {}
    label = (config.get("Labels") or {}).get(LABEL, "python3")
    ours = label == "host"
    fits = name.startswith(f"{REPOSITORY}:")
    python = sys.executable if ours else label
    return Image(str(found.get("Id") or name), python, tuple(config.get("Env") or ()), fits, ours)


def _host_name() -> str:
    sources = [str(RECIPE), sys.version, sys.base_prefix]
    for path in sorted(_tools()):
        found = os.stat(path)
        sources.append(f"{path} {found.st_size} {found.st_mtime_ns}")
    return f"{REPOSITORY}:host-{_digest(sources)}"


def _host_context() -> io.BytesIO:
    """What the engine needs to build the image: a Dockerfile, and the files in an archive."""
    text = f"FROM scratch\nADD files.tar /\nLABEL {LABEL}=host\n"
    return _tar([("Dockerfile", text.encode()), ("files.tar", _files().getvalue())])


def _files() -> io.BytesIO:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        added: set[str] = set()
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if Path("/", name).is_symlink():
                _add(archive, Path("/", name), added)
        for name, text in layout.MADE.items():
            _add_bytes(archive, f"etc/{name}", text.encode())
        for path in _contents():
            _add(archive, path, added)
    return into


def _contents() -> Iterator[Path]:
    tools = [Path(tool) for tool in _tools()]
    library = Path(sys.base_prefix, "lib", f"python{_version()}")
    python = [Path(os.path.realpath(sys.executable))]
    modules = [
        path
        for path in library.rglob("*")
        if not any(part in f"{path.relative_to(library)}/" for part in _WITHOUT)
    ]
    binaries = [*tools, *python, *(path for path in modules if path.suffix == ".so")]
    yield from (*tools, *python, *modules, *_libraries(binaries))
    for name in ("python3", f"python{_version()}", "python"):
        yield Path(sys.base_prefix, "bin", name)
    for extra in (_CERTIFICATES, "/etc/ld.so.cache", "/usr/share/zoneinfo/UTC"):
        yield Path(extra)


def _tools() -> list[str]:
    found = (shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin") for tool in _TOOLS)
    return [path for path in found if path]


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """Every shared library that these need, as the machine's own loader finds it."""
    # A library may be named by paths: the one that is asked for, and what it is a link to.
    ldd = subprocess.run(
        ["ldd", *map(str, binaries)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        timeout=_LDD_SECONDS,
    )
    words = (word for line in ldd.stdout.splitlines() for word in line.split())
    return {Path(word) for word in words if word.startswith("/") and not word.endswith(":")}


def _add(archive: tarfile.TarFile, path: Path, added: set[str]) -> None:
    """Add a file by the path at which it really is, and the links that lead to it."""
    real = Path(os.path.realpath(path.parent)) / path.name
    if str(real) in added or not os.path.lexists(real):
        return
    added.add(str(real))
    info = archive.gettarinfo(real, str(real).lstrip("/"))
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode &= 0o755  # no file in here gives anybody's rights
    if info.isreg() or info.islnk():
        info.type, info.linkname = tarfile.REGTYPE, ""
        info.size = real.stat().st_size
        with real.open("rb") as file:
            archive.addfile(info, file)
        return
    archive.addfile(info)
    if info.issym():
        _add(archive, Path(os.path.normpath(real.parent / info.linkname)), added)


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    archive.addfile(info, io.BytesIO(data))


def _tar(files: Iterable[tuple[str, bytes]]) -> io.BytesIO:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, data in files:
            _add_bytes(archive, name, data)
    into.seek(0)
    return into


def _digest(sources: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()[:16]


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
