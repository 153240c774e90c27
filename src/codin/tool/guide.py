"""A look at the operator's data, told to agents before they begin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from codin.runtime.base import Runtime
from codin.runtime.workload import Function
from codin.sandbox.base import WORKSPACE, Limits
from codin.tool.workspace import Workspaces

READS_FILES = "files"
"""The tag of tools that look into files: who has one is told what the files are."""

_MOST_FILES = 6
_MOST_CHARS = 2_400
_SECONDS = 20.0


class DataGuide:
    """Says in a few lines what is in each data file: columns, types, values.

    The files are looked into in a sandbox, like all data that comes from outside, and again only
    when they have changed.
    """

    def __init__(self, runtime: Runtime, workspaces: Workspaces) -> None:
        self._runtime = runtime
        self._workspaces = workspaces
        self._seen: dict[tuple[str, int, int], str] = {}
        self._looking = asyncio.Lock()

    async def describe(self, paths: Sequence[str]) -> str:
        """What the files at ``paths`` (inside the workspace) are; empty when nothing can be said.

        Never raises for a file that cannot be looked into: it is left out.
        """
        async with self._looking:
            told: list[str] = []
            for path in paths[:_MOST_FILES]:
                text = await self._described(path)
                if text and sum(map(len, told)) + len(text) <= _MOST_CHARS:
                    told.append(text)
        return "\n\n".join(told)

    async def _described(self, path: str) -> str:
        key = await asyncio.to_thread(self._stamp, path)
        if key is None:
            return ""
        if key not in self._seen:
            result = await self._runtime.run(
                Function(
                    target="codin_looking:describe",
                    source=_looking_source(),
                    args=(f"{WORKSPACE}/{path}",),
                    mounts=self._workspaces.mounts,
                    limits=Limits(wall_seconds=_SECONDS),
                )
            )
            self._seen[key] = str(result.value) if result.ok else ""
        return self._seen[key]

    def _stamp(self, path: str) -> tuple[str, int, int] | None:
        """The file's path, size and time of change: what tells that it is the same."""
        inside = Path(WORKSPACE) / path
        for mount in self._workspaces.mounts:
            if inside.is_relative_to(mount.target):
                try:
                    info = (mount.source / inside.relative_to(mount.target)).stat()
                except OSError:
                    return None
                return path, info.st_size, info.st_mtime_ns
        return None


def _looking_source() -> str:
    return resources.files("codin.tool.builtin").joinpath("_looking.py").read_text("utf-8")
