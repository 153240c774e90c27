"""What the built-in tools share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from codin.sandbox.base import WORKSPACE, Sandbox
from codin.sandbox.errors import RemoteError, SandboxError
from codin.sandbox.filesystem import FileInfo
from codin.tool.base import Effects, ToolFailed, ToolLimits, ToolSpec
from codin.tool.guide import READS_FILES
from codin.tool.invocation import Invocation, RunnableTool
from codin.tool.session import GOAL_LIMITS

# The goal's sandbox limits the memory of all that runs in it together.
_LIMITS = ToolLimits(memory_bytes=GOAL_LIMITS.memory_bytes or ToolLimits().memory_bytes)


class BuiltinTool(RunnableTool):
    """A tool of the platform's own that works inside the goal's sandbox."""

    def __init__(self, spec: ToolSpec) -> None:
        self.name = spec.name
        self.spec = spec


def builtin_spec(
    name: str,
    description: str,
    properties: Mapping[str, Any],
    *,
    required: tuple[str, ...] = (),
    example: Mapping[str, Any] | None = None,
    effects: Effects = "none",
    limits: ToolLimits | None = None,
    tags: tuple[str, ...] = (READS_FILES,),
) -> ToolSpec:
    """The spec of a built-in tool. Weak models read these: each word counts."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    if example is not None:
        schema["examples"] = [dict(example)]
    return ToolSpec(
        name=name,
        description=description,
        input_schema=schema,
        origin="builtin",
        limits=limits or _LIMITS,
        effects=effects,
        if_interrupted="repeat",  # what it does, it does in the goal's own workspace
        tags=tags,
    )


async def look(call: Invocation, function: str, **arguments: Any) -> Any:
    """Call a function of ``_looking.py`` inside the sandbox: nothing is parsed outside.

    A path that is not there, but is the name of exactly one file, means that file.

    Raises:
        ToolFailed: the file cannot be read; the message says why.
        SandboxError: as ``Worker.call``.
    """
    path = arguments["path"]
    try:
        return await _asked(call, function, arguments)
    except RemoteError as error:
        async with call.sandboxes.sandbox(call.grant) as sandbox:
            meant = await _meant(call, sandbox, error, path)
            if meant is None:
                raise ToolFailed(await explained(call, sandbox, error, path)) from error
    # A policy that bars a folder bars its files also where they are named without it.
    call.check({**call.arguments, "path": meant})
    return await _asked(call, function, {**arguments, "path": meant})


async def _asked(call: Invocation, function: str, arguments: Mapping[str, Any]) -> Any:
    async with call.sandboxes.worker(call.grant) as worker:
        return await worker.call(
            f"codin_looking:{function}",
            kwargs=arguments,
            source=_looking_source(),
            timeout=call.limits.seconds,
        )


async def _meant(call: Invocation, sandbox: Sandbox, error: RemoteError, path: str) -> str | None:
    if error.type_name != "FileNotFoundError":
        return None
    name = PurePosixPath(path).name
    named = [file for file in await files_of(call, sandbox) if PurePosixPath(file).name == name]
    return named[0] if len(named) == 1 else None


async def explained(call: Invocation, sandbox: Sandbox, error: SandboxError, path: str) -> str:
    """Why a path could not be used, with the files that there are."""
    kind = error.type_name if isinstance(error, RemoteError) else type(error).__name__
    if kind in ("SandboxFileNotFound", "FileNotFoundError", "NotADirectoryError"):
        return f"there is no file {path!r}. {await files_here(call, sandbox)}"
    if kind == "IsADirectoryError":
        return f"{path!r} is a folder. {await files_here(call, sandbox)}"
    if kind in ("PermissionDenied", "PermissionError"):
        return (
            f"{path!r} cannot be used: only files below /workspace can, and data/ is read-only. "
            "Use a plain name, such as report.md."
        )
    return str(error)


async def files_of(call: Invocation, sandbox: Sandbox, path: str = ".") -> dict[str, int]:
    """The files below ``path`` with their sizes, those of mounted data among them.

    Raises:
        SandboxFileNotFound, PermissionDenied: ``path`` cannot be listed.
    """
    info = await sandbox.fs.stat(path)
    if not info.is_dir:
        return {relative(info.path): info.size}
    listed = await sandbox.fs.list(path, recursive=True)
    folder = PurePosixPath(WORKSPACE, path)
    for mount in call.sandboxes.workspaces.mounts:
        target = PurePosixPath(mount.target)
        if target != folder and target.is_relative_to(folder):
            listed += await _mounted(sandbox, mount.target)
    return {relative(info.path): info.size for info in listed if not info.is_dir}


async def _mounted(sandbox: Sandbox, target: str) -> list[FileInfo]:
    info = await sandbox.fs.stat(target)
    return await sandbox.fs.list(target, recursive=True) if info.is_dir else [info]


async def files_here(call: Invocation, sandbox: Sandbox, most: int = 20) -> str:
    """One line that names the files of the workspace."""
    try:
        names = sorted(await files_of(call, sandbox))
    except SandboxError:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"Files: {', '.join(names[:most])}{more}." if names else "There are no files."


def relative(path: str) -> str:
    """A path inside the sandbox as models write it: relative to ``/workspace``."""
    return path.removeprefix(f"{WORKSPACE}/").removeprefix("./")


@cache
def _looking_source() -> str:
    return resources.files("codin.tool.builtin").joinpath("_looking.py").read_text("utf-8")
