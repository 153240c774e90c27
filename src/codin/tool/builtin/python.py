"""``run_python``: Python in the goal's sandbox, with state between calls of a run."""

from __future__ import annotations

import ast
import re
from typing import Any

from codin.sandbox.errors import SandboxError
from codin.sandbox.outcome import CodeResult
from codin.tool.base import ToolFailed
from codin.tool.builtin._code import PreparedCode, prepare
from codin.tool.builtin.base import BuiltinTool, builtin_spec, files_here
from codin.tool.execution.result import cut
from codin.tool.invocation import Invocation

SPEC = builtin_spec(
    "run_python",
    "Run Python code (pandas, numpy, matplotlib). Variables stay. Print the results. Read data "
    "from data/; save charts with plt.savefig.",
    {"code": {"type": "string", "description": "Python code"}},
    required=("code",),
    example={"code": "print(1 + 1)"},
    effects="once",
)

_SHOWN_VALUE = 2_000
_SHOWN_ERROR = 600
_STDERR = 500
_FRAME = re.compile(r'^  File "<code \d+>", line (\d+)', re.MULTILINE)
# What a weak model gets wrong over and over, with what would be right.
_HINTS = (
    (
        re.compile(r"\.dt accessor|'str' object has no attribute '(?:strftime|month|year|hour)'"),
        "Those are texts, not dates: df['c'] = pd.to_datetime(df['c']) first.",
    ),
    (
        re.compile(
            r"agg function failed|Could not convert|dtype '(?:str|object)' does not support"
        ),
        "Choose the column to compute: df.groupby('a')['b'].sum().",
    ),
)
_SAVE_OPEN_FIGURES = """
def _codin_save():
    import sys
    plt = sys.modules.get("matplotlib.pyplot")
    for number in plt.get_fignums() if plt else ():
        plt.figure(number).savefig("chart.png" if number == 1 else f"chart{number}.png")
    if plt:
        plt.close("all")
_codin_save()
"""
_COLUMNS = """
{name: list(map(str, value.columns))[:40] for name, value in list(globals().items())
 if type(value).__name__ == "DataFrame" and not name.startswith("_")}
"""


class RunPython(BuiltinTool):
    """What the code printed, the value of its last line, the files it made, or its error."""

    def __init__(self) -> None:
        super().__init__(SPEC)

    async def run(self, call: Invocation) -> Any:
        """Run ``code``."""
        code = prepare(call.arguments["code"])
        before = await self._files(call)
        result = await call.sandboxes.run_code(
            call.grant, code.text, timeout=call.limits.seconds, on_output=call.emit
        )
        call.usage = result.usage
        if result.error is not None:
            raise ToolFailed(await self._failure(call, code, result))
        if "plt.show(" in code.text:
            await self._quietly(call, _SAVE_OPEN_FIGURES)
        made = [
            path for path, state in (await self._files(call)).items() if before.get(path) != state
        ]
        return _report(code, result, sorted(made))

    async def _files(self, call: Invocation) -> dict[str, tuple[int, int]]:
        grant = call.grant
        files = await call.sandboxes.workspaces.files(grant.principal, grant.goal_id)
        return {
            file.path: (file.size, file.modified)
            for file in files
            if "__pycache__" not in file.path
        }

    async def _failure(self, call: Invocation, code: PreparedCode, result: CodeResult) -> str:
        error = (result.error or "").rstrip()
        told = _short_error(error, code)
        last = error.splitlines()[-1] if error else ""
        if last.startswith("FileNotFoundError"):
            async with call.sandboxes.sandbox(call.grant) as sandbox:
                told += "\n" + await files_here(call, sandbox)
        elif last.startswith("KeyError"):
            told += await self._columns(call)
        told += next((f"\n{hint}" for wrong, hint in _HINTS if wrong.search(error)), "")
        if result.state_lost:
            told += "\nThe variables of earlier calls are lost."
        printed = result.stdout.rstrip()
        return f"{cut(printed, _SHOWN_VALUE)}\n{told}" if printed else told

    async def _columns(self, call: Invocation) -> str:
        result = await self._quietly(call, _COLUMNS)
        try:
            frames = ast.literal_eval(result.value or "{}") if result else {}
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return ""
        lines = [f"\nColumns of {name}: {', '.join(columns)}" for name, columns in frames.items()]
        return cut("".join(lines[:3]), _SHOWN_ERROR)

    async def _quietly(self, call: Invocation, code: str) -> CodeResult | None:
        try:
            return await call.sandboxes.run_code(call.grant, code, timeout=call.limits.seconds)
        except SandboxError:
            return None


def _report(code: PreparedCode, result: CodeResult, made: list[str]) -> str:
    parts = [result.stdout.rstrip()]
    if result.value is not None and not (code.shows and parts[0]):
        value = cut(result.value, _SHOWN_VALUE)
        separator = "\n" if "\n" in value else " "
        parts.append(f"{code.shows} ={separator}{value}" if code.shows else value)
    if made:
        parts.append(f"Files made: {', '.join(made[:20])}")
    if not any(parts):
        parts.append(cut(result.stderr.rstrip(), _STDERR) or "Done; nothing was printed.")
    if result.state_lost:
        parts.append("The variables of earlier calls are lost.")
    return "\n".join(part for part in parts if part)


def _short_error(error: str, code: PreparedCode) -> str:
    """The exception's own lines, and the line of the model's code that it came from."""
    told = cut(_exception_lines(error), _SHOWN_ERROR)
    frames = _FRAME.findall(error)
    if not frames:
        return told
    number = int(frames[-1])
    lines = code.text.splitlines()
    text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return f"{told}\nline {max(number - code.prelude, 1)}: {text[:200]}"


def _exception_lines(error: str) -> str:
    """What follows the last frame of a traceback."""
    lines = error.splitlines()
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith(" "):
            return "\n".join(lines[index + 1 :]) or lines[-1]
    return error
