"""What the built-in tools share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from codin.sandbox.base import Sandbox
from codin.sandbox.errors import PermissionDenied, RemoteError, SandboxError, SandboxFileNotFound
from codin.tool.base import Effects, ToolFailed, ToolLimits, ToolSpec
from codin.tool.invocation import Invocation, RunnableTool


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
        limits=limits or ToolLimits(),
        effects=effects,
    )


async def look(call: Invocation, sandbox: Sandbox, function: str, **arguments: Any) -> Any:
    """Call a function of ``_looking.py`` inside the sandbox: nothing is parsed outside.

    Raises:
        ToolFailed: the file cannot be read; the message says why.
        SandboxError: as ``Worker.call``.
    """
    worker = await sandbox.worker()
    try:
        return await worker.call(
            f"codin_looking:{function}",
            kwargs=arguments,
            source=_looking_source(),
            timeout=call.limits.seconds,
        )
    except RemoteError as error:
        raise ToolFailed(await explained(sandbox, error, arguments.get("path", ""))) from error
    finally:
        await worker.close()


async def explained(sandbox: Sandbox, error: SandboxError, path: str) -> str:
    """Why a path could not be used, with the files that there are."""
    kind = error.type_name if isinstance(error, RemoteError) else type(error).__name__
    missing = isinstance(error, SandboxFileNotFound) or kind == "FileNotFoundError"
    if missing:
        return f"there is no file {path!r}. {await files_here(sandbox)}"
    if kind in ("IsADirectoryError",):
        return f"{path!r} is a folder. {await files_here(sandbox)}"
    if isinstance(error, PermissionDenied) or kind == "PermissionError":
        return f"{path!r} cannot be used: only files below /workspace can, and data/ is read-only."
    return str(error)


async def files_here(sandbox: Sandbox, most: int = 20) -> str:
    """One line that names the files of the workspace."""
    try:
        listed = await sandbox.fs.list(".", recursive=True)
    except SandboxError:
        return ""
    names = sorted(relative(info.path) for info in listed if not info.is_dir)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"Files: {', '.join(names[:most])}{more}." if names else "There are no files."


def relative(path: str) -> str:
    """A path inside the sandbox as models write it: relative to ``/workspace``."""
    return path.removeprefix("/workspace/").removeprefix("./")


@cache
def _looking_source() -> str:
    return resources.files("codin.tool.builtin").joinpath("_looking.py").read_text("utf-8")
