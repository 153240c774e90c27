"""``list_files``, ``read_file``, ``write_file``: the files of the goal's workspace."""

from __future__ import annotations

from typing import Any

from codin.sandbox.errors import PermissionDenied, SandboxFileNotFound
from codin.tool.base import ToolFailed
from codin.tool.builtin.base import BuiltinTool, builtin_spec, explained, files_of, look, relative
from codin.tool.invocation import Invocation

_MOST_LISTED = 200
_MOST_LINES = 2000
_DEFAULT_LINES = 200

_PATH = {"type": "string", "description": "the file, such as report.md"}


class ListFiles(BuiltinTool):
    """The files below a folder, with their sizes."""

    def __init__(self) -> None:
        folder = {"type": "string", "description": "the folder; all when left out", "default": "."}
        super().__init__(
            builtin_spec("list_files", "List files with their sizes in bytes.", {"path": folder})
        )

    async def run(self, call: Invocation) -> Any:
        """List ``path``."""
        path = call.arguments.get("path", ".") or "."
        async with call.sandboxes.sandbox(call.grant) as sandbox:
            try:
                files = sorted((await files_of(call, sandbox, path)).items())
            except (SandboxFileNotFound, PermissionDenied) as error:
                raise ToolFailed(await explained(call, sandbox, error, path)) from error
        if not files:
            return "There are no files."
        lines = [f"{name} ({size:,} bytes)" for name, size in files[:_MOST_LISTED]]
        if len(files) > _MOST_LISTED:
            lines.append(f"... and {len(files) - _MOST_LISTED} more")
        return "\n".join(lines)


class ReadFile(BuiltinTool):
    """Lines of a text file."""

    def __init__(self) -> None:
        spec = builtin_spec(
            "read_file",
            "Read a text file. For data files use describe_data.",
            {
                "path": _PATH,
                "start_line": {"type": "integer", "minimum": 1, "default": 1},
                "max_lines": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _MOST_LINES,
                    "default": _DEFAULT_LINES,
                },
            },
            required=("path",),
            example={"path": "report.md"},
        )
        super().__init__(spec)

    async def run(self, call: Invocation) -> Any:
        """Read ``max_lines`` of ``path`` from ``start_line`` on."""
        path = call.arguments["path"]
        start = call.arguments.get("start_line", 1)
        most = call.arguments.get("max_lines", _DEFAULT_LINES)
        limit = call.limits.result_chars - 200
        found = await look(call, "read_lines", path=path, start=start, most=most, limit=limit)
        match found:
            case {"text": str(text), "lines": int(lines), "more": bool(more)}:
                return _shown(path, start, text, lines, more)
            case {"binary": True}:
                raise ToolFailed(f"{path!r} is not a text file; use run_python to work with it")
        raise ToolFailed(f"{path!r} could not be read")


class WriteFile(BuiltinTool):
    """Writes a whole text file."""

    def __init__(self) -> None:
        spec = builtin_spec(
            "write_file",
            "Write text to a file, replacing it.",
            {"path": _PATH, "text": {"type": "string", "description": "the whole text"}},
            required=("path", "text"),
            example={"path": "report.md", "text": "# Report\n..."},
            effects="repeatable",
            tags=(),
        )
        super().__init__(spec)

    async def run(self, call: Invocation) -> Any:
        """Write ``text`` to ``path``."""
        path, data = call.arguments["path"], call.arguments["text"].encode()
        async with call.sandboxes.sandbox(call.grant) as sandbox:
            try:
                await sandbox.fs.write(path, data)
            except (SandboxFileNotFound, PermissionDenied) as error:
                raise ToolFailed(await explained(call, sandbox, error, path)) from error
        return f"Wrote {relative(path)} ({len(data):,} bytes)."


def _shown(path: str, start: int, text: str, lines: int, more: bool) -> str:
    if not text:
        return f"{relative(path)} has no line {start}." if start > 1 else "The file is empty."
    if not more:
        return text
    return f"{text}\n[the file goes on: read it with start_line={start + max(lines, 1)}]"
