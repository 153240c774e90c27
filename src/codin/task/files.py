"""The files of a goal, as what a plan can be made with and what a goal has made."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from codin.agent.events import ArtifactProduced
from codin.errors import CodinError
from codin.sandbox.base import WORKSPACE, Mount
from codin.security import Principal
from codin.tool.guide import DataGuide
from codin.tool.workspace import Workspaces

INLINE_BYTES = 256 * 1024
"""A file up to this size travels in the artifact; a larger one is told by its path."""

_INLINE_IN_ALL = 2 * 1024 * 1024
_MOST_INPUTS = 200


@dataclass(frozen=True, slots=True)
class FilesBefore:
    """The files of a goal before something was done: the time of the ``newest`` change, and all
    ``files`` with theirs, which are not known any more when another process goes on with it."""

    newest: int
    files: Mapping[str, int] | None = None

    def made(self, now: Mapping[str, int]) -> list[str]:
        """Those of the files ``now`` that were made or changed since then."""
        if self.files is None:
            return [path for path, at in now.items() if at > self.newest]
        return [path for path, at in now.items() if self.files.get(path) != at]


class GoalFiles:
    """What is in the workspaces of goals; in none when there are no workspaces.

    ``guide`` says what the data is that every goal is shown.
    """

    def __init__(
        self, workspaces: Workspaces | None = None, guide: DataGuide | None = None
    ) -> None:
        self._workspaces = workspaces
        self._guide = guide

    async def inputs(self) -> list[str]:
        """The paths, inside the workspace, of the data that every goal is shown."""
        mounts = self._workspaces.mounts if self._workspaces else ()
        return await asyncio.to_thread(lambda: [path for mount in mounts for path in _shown(mount)])

    async def description(self) -> str:
        """What is in the data that every goal is shown, in a few lines."""
        return await self._guide.describe(await self.inputs()) if self._guide else ""

    async def state(self, principal: Principal, goal_id: str) -> dict[str, int]:
        """When each file of the goal was last changed, by its path."""
        if self._workspaces is None:
            return {}
        files = await self._workspaces.files(principal, goal_id)
        return {file.path: file.modified for file in files}

    async def artifacts(
        self, principal: Principal, goal_id: str
    ) -> AsyncIterator[ArtifactProduced]:
        """The goal's files as artifacts: the content, or ``{"path", "size"}`` of a large one."""
        if self._workspaces is None:
            return
        left = _INLINE_IN_ALL
        for file in await self._workspaces.files(principal, goal_id):
            raw = None
            if file.size <= min(INLINE_BYTES, left):
                raw = await self._content(principal, goal_id, file.path)
            left -= len(raw or b"")
            yield ArtifactProduced(
                artifact_id=f"file-{file.path}",
                name=file.path,
                description=f"{file.size} bytes",
                media_type=file.media_type,
                raw=raw,
                data=None if raw is not None else {"path": file.path, "size": file.size},
            )

    async def _content(self, principal: Principal, goal_id: str, path: str) -> bytes | None:
        assert self._workspaces is not None
        try:
            with await self._workspaces.open(principal, goal_id, path) as file:
                return await file.read(INLINE_BYTES)
        except CodinError:  # it was removed or replaced since it was listed
            return None


def _shown(mount: Mount) -> list[str]:
    inside = str(PurePosixPath(mount.target).relative_to(WORKSPACE))
    if not mount.source.is_dir():
        return [inside]
    found: list[str] = []
    for folder, folders, names in os.walk(mount.source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(mount.source)
        found += [
            str(PurePosixPath(inside, *below.parts, name))
            for name in sorted(names)
            if not name.startswith(".")
        ]
        if len(found) >= _MOST_INPUTS:
            break
    return found[:_MOST_INPUTS]
