"""Layers of packages: built once, kept by what they are made of, shown to sandboxes read-only."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from codin.private_folder import private_folder
from codin.sandbox.base import MIB
from codin.sandbox.errors import PermissionDenied, SandboxUnavailable
from codin.sandbox.packages import uv
from codin.sandbox.packages.build import RECORD, SITE, Order, Say, build
from codin.sandbox.packages.errors import PackageDiskFull, RequirementRefused
from codin.sandbox.packages.installer import Installer
from codin.sandbox.packages.pip import Pip
from codin.sandbox.packages.requirement import normalize
from codin.sandbox.packages.target import Target, index_environment, index_settings

GIB = 1024 * MIB
_FORMAT = 1
_WAIT_SECONDS = 0.05
_MAX_BESIDE = 2000


def _silent(text: str) -> None:
    """Say nothing."""


def layers_folder() -> Path:
    """Where layers are kept unless told otherwise: the user's cache."""
    return Path(platformdirs.user_cache_dir("codin", appauthor=False)) / "packages"


class PackageLayers:
    """Folders of installed packages, one for each set of requirements, Python and index.

    A layer is built by whoever asks first, in any process, and others wait for it. It is whole or
    not there: what a killed process has begun is taken away by the next build. Only wheels are
    taken, and nothing that they bring is run on this machine outside of a sandbox. A layer keeps
    the versions that it was built with (``layer.json`` beside it names them) until it is removed.

    ``index`` is the URL of the one index to ask; without it uv's own variables count
    (``UV_DEFAULT_INDEX``, ``UV_INDEX``, ...). When all layers together take more than
    ``max_total_bytes``, those that were not asked for the longest go, but none that is held.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        index: str | None = None,
        max_layer_bytes: int = 2 * GIB,
        max_total_bytes: int = 10 * GIB,
        build_seconds: float = 600.0,
    ) -> None:
        self._folder = layers_folder() if folder is None else folder
        self._index = index
        self._max_layer = max_layer_bytes
        self._max_total = max_total_bytes
        self._seconds = build_seconds
        self._held: dict[str, _Held] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(
        self,
        requirements: Sequence[str],
        *,
        python: str | None = None,
        platform: str | None = None,
        beside: Sequence[str] = (),
        say: Say = _silent,
    ) -> Path:
        """The folder to put on ``sys.path``, its scripts in ``bin``; held until ``release``.

        ``python`` (``"3.12"``) and ``platform`` (``"x86_64-manylinux_2_28"``) are for code that
        runs elsewhere than with this Python on this machine. ``beside`` are the exact versions
        (``"httpx==0.28.1"``) of packages that are there already where the layer will be seen:
        they stay as they are, the layer is without them, and what needs others is not to be had.
        ``say`` is told in a line what goes on; nothing when the layer is there.

        Raises:
            RequirementRefused: a requirement that is a URL, a path, an option, or nothing at all.
            PackageNotFound: no such version, none as a wheel, or they contradict each other.
            IndexUnreachable, PackageTooLarge, PackageTimeout, PackageUnsafe, PackageDiskFull
            SandboxUnavailable: there is neither uv nor pip, or no bubblewrap to put it apart with.
            PermissionDenied: the folder of the layers belongs to others.
        """
        installer = find_installer()
        environment = index_environment(self._index, pip=installer is Pip)
        order = Order(
            normalize(requirements),
            Target(python, platform),
            environment,
            self._max_layer,
            self._seconds,
            installer,
            _exact(beside),
        )
        key = _key(order)
        async with self._turns[key]:
            with _full_disk_told(self._folder):
                held = self._held.get(key)
                if held is None:
                    await asyncio.to_thread(_prepare, self._folder)
                    held = self._held[key] = _Held(await self._hold(key, order, say))
                held.times += 1
                with contextlib.suppress(OSError):
                    os.utime(self._folder / key / RECORD)
        return self._folder / key / SITE

    def release(self, layer: Path) -> None:
        """What ``get`` gave is needed no more. As often as it was asked for."""
        key = layer.parent.name
        held = self._held.get(key)
        if held is None:
            return
        held.times -= 1
        if held.times == 0:
            del self._held[key]
            held.lock.close()

    def close(self) -> None:
        """Release all that is held."""
        for held in self._held.values():
            held.lock.close()
        self._held.clear()

    async def _hold(self, key: str, order: Order, say: Say) -> LayerLock:
        """The lock on a layer that is whole, so that nobody removes it."""
        lock = LayerLock(self._folder / f"{key}.lock")
        waiting = False
        try:
            while True:
                if lock.share():
                    if (self._folder / key / RECORD).is_file():
                        return lock
                    if lock.take():
                        await self._build(key, order, say)
                        continue
                if not waiting:
                    say("waiting for whoever builds these packages")
                    waiting = True
                await asyncio.sleep(_WAIT_SECONDS)
        except BaseException:
            lock.close()
            raise

    async def _build(self, key: str, order: Order, say: Say) -> None:
        if (self._folder / key / RECORD).is_file():
            return
        async with _staging(self._folder) as staging:
            layer = await build(order, staging, say)
            await asyncio.to_thread(_commit, layer, self._folder / key)
        await asyncio.to_thread(self._evict, key)

    def _evict(self, keep: str) -> None:
        """Remove what was not asked for the longest, until the rest is small enough."""
        layers = sorted(_layers(self._folder), key=lambda layer: layer.used)
        total = sum(layer.size for layer in layers)
        for layer in layers:
            if total <= self._max_total:
                return
            if layer.key != keep and _remove(self._folder, layer.key):
                total -= layer.size


@dataclass(slots=True)
class _Held:
    lock: LayerLock
    times: int = 0


@dataclass(frozen=True, slots=True)
class _Layer:
    key: str
    size: int
    used: float


class LayerLock:
    """The kernel's lock on a layer: shared by who uses it, one's own who builds or removes it.

    It goes with its process, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> bool:
        """Whether it is shared now; at once."""
        return self._try(fcntl.LOCK_SH)

    def take(self) -> bool:
        """Whether it is nobody else's now; at once. It is not shared any more in either case."""
        return self._try(fcntl.LOCK_EX)

    def close(self) -> None:
        """Give it up."""
        os.close(self._fd)

    def _try(self, how: int) -> bool:
        try:
            fcntl.flock(self._fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            return False
        return True


def find_installer() -> type[Installer]:
    """uv; pip, where there is no uv."""
    try:
        uv.find()
    except SandboxUnavailable:
        return Pip
    return uv.Uv


def _exact(beside: Sequence[str]) -> tuple[str, ...]:
    pinned = normalize(beside, most=_MAX_BESIDE)
    for line in pinned:
        if "==" not in line or "*" in line:
            raise RequirementRefused(f"{line!r} is no exact version; write it as 'httpx==0.28.1'")
    return pinned


def _key(order: Order) -> str:
    made_of = {
        "format": _FORMAT,
        "requirements": order.requirements,
        **({"beside": order.beside} if order.beside else {}),
        "index": index_settings(order.environment),
        **order.target.describe(),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


def _prepare(folder: Path) -> None:
    """Raises ``PermissionDenied`` when others could put something into the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        if error.errno in _FULL:
            raise
        raise PermissionDenied(
            f"packages cannot be kept in {folder}: {error.strerror}; "
            "set XDG_CACHE_HOME to a folder of this user's"
        ) from error
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionDenied(
            f"packages are not kept in {folder}: others may write there; chmod 700 it"
        )


@contextlib.asynccontextmanager
async def _staging(folder: Path) -> AsyncIterator[Path]:
    """A folder to build in, gone afterwards."""
    staging = await asyncio.to_thread(private_folder, "layer", within=folder)
    try:
        yield staging
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, staging, True))


def _commit(layer: Path, final: Path) -> None:
    """Put a layer in its place, after all of it is on disk: power may fail too."""
    if sync := shutil.which("sync"):
        subprocess.run([sync, "-f", layer], check=False)
    os.rename(layer, final)


def _layers(folder: Path) -> list[_Layer]:
    found: list[_Layer] = []
    for record in folder.glob(f"*/{RECORD}"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            size = int(json.loads(record.read_text(encoding="utf-8"))["bytes"])
            found.append(_Layer(record.parent.name, size, record.stat().st_mtime))
    return found


def _remove(folder: Path, key: str) -> bool:
    """Whether the layer is gone: it is not while somebody holds it."""
    lock = LayerLock(folder / f"{key}.lock")
    try:
        if not lock.take():
            return False
        going = private_folder("layer", within=folder)
        os.rename(folder / key, going / key)
        shutil.rmtree(going, ignore_errors=True)
    finally:
        lock.close()
    return True


_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def _full_disk_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise PackageDiskFull(
            f"there is no room for packages in {folder}; make some, or set XDG_CACHE_HOME"
        ) from error
