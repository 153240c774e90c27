"""Files that a run leaves behind, taken out of its sandbox within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from codin.errors import InvalidInputError
from codin.runtime._result import Outcome, failure_of
from codin.runtime.base import Artifact
from codin.runtime.workload import WorkloadOptions
from codin.sandbox.base import MIB, WORKSPACE, Sandbox
from codin.sandbox.errors import LimitExceeded, OutputLimit, PermissionDenied, SandboxError
from codin.sandbox.filesystem import FileInfo

MAX_ARTIFACTS = 1000
MAX_BYTES_IN_MEMORY = 64 * MIB


def check_patterns(options: WorkloadOptions) -> None:
    """Raises ``InvalidInputError`` when a pattern can match nothing below the workspace."""
    for pattern in options.artifacts:
        path = PurePosixPath(pattern)
        if not pattern or path.is_absolute() or ".." in path.parts:
            raise InvalidInputError(
                f"an artifact is named by its path below {WORKSPACE}, not {pattern!r}"
            )


async def with_artifacts(sandbox: Sandbox, options: WorkloadOptions, outcome: Outcome) -> Outcome:
    """``outcome`` with the files that ``options`` ask for; of a run that failed, those it has."""
    if not options.artifacts:
        return outcome
    try:
        outcome.artifacts = tuple(await _collect(sandbox, options))
    except SandboxError as error:
        if outcome.failure is None:
            outcome.failure = failure_of(error)
            outcome.limits_hit = (error.limit,) if isinstance(error, LimitExceeded) else ()
    return outcome


async def _collect(sandbox: Sandbox, options: WorkloadOptions) -> list[Artifact]:
    found = _matching(await sandbox.fs.list(WORKSPACE, recursive=True), options.artifacts)
    if len(found) > MAX_ARTIFACTS:
        raise OutputLimit(
            f"{len(found)} files are artifacts, and at most {MAX_ARTIFACTS} are taken"
        )
    if options.artifacts_to is None:
        return await _into_memory(sandbox, found)
    return [await _to_folder(sandbox, each, options.artifacts_to) for each in found]


async def _into_memory(sandbox: Sandbox, paths: Sequence[str]) -> list[Artifact]:
    left, taken = MAX_BYTES_IN_MEMORY, []
    for path in paths:
        data = await sandbox.fs.read(f"{WORKSPACE}/{path}", max_bytes=left + 1)
        left -= len(data)
        if left < 0:
            raise OutputLimit(
                f"the artifacts have more than the {MAX_BYTES_IN_MEMORY} bytes that are taken into "
                "memory: give a folder as artifacts_to"
            )
        taken.append(Artifact(path, data))
    return taken


async def _to_folder(sandbox: Sandbox, path: str, folder: Path) -> Artifact:
    target = await asyncio.to_thread(_target, path, folder)
    await sandbox.fs.download(f"{WORKSPACE}/{path}", target)
    return Artifact(path, file=target)


def _target(path: str, folder: Path) -> Path:
    """Where it goes: names come from inside, and links that lie there lead elsewhere."""
    target = folder.joinpath(*PurePosixPath(path).parts)
    if not target.parent.resolve().is_relative_to(folder.resolve()) or target.is_symlink():
        raise PermissionDenied(f"{target} leads out of {folder}")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _matching(files: Sequence[FileInfo], patterns: Sequence[str]) -> list[str]:
    paths = [_relative(info.path) for info in files if not info.is_dir]
    return [
        path
        for path in paths
        if not path.startswith(".codin/") and any(fnmatchcase(path, each) for each in patterns)
    ]


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    return str(pure.relative_to(WORKSPACE) if pure.is_relative_to(WORKSPACE) else pure)
