"""``run_shell``: a shell command in the goal's sandbox."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from codin.tool.builtin.base import BuiltinTool, builtin_spec
from codin.tool.invocation import Invocation

SPEC = builtin_spec(
    "run_shell",
    "Run a shell command (bash) in the workspace. No network.",
    {"command": {"type": "string", "description": "the command"}},
    required=("command",),
    example={"command": "wc -l data/*.csv"},
    effects="once",
)


class RunShell(BuiltinTool):
    """Output and exit code of a command line."""

    def __init__(self) -> None:
        super().__init__(SPEC)

    async def run(self, call: Invocation) -> Any:
        """Run ``command``."""
        async with call.sandboxes.sandbox(call.grant) as sandbox:
            limits = replace(sandbox.limits, wall_seconds=call.limits.seconds)
            result = await sandbox.exec(
                ["bash", "-c", call.arguments["command"]], limits=limits, on_output=call.emit
            )
        call.usage = result.usage
        parts = [result.stdout.decode("utf-8", "replace").rstrip()]
        parts.append(result.stderr.decode("utf-8", "replace").rstrip())
        if result.exit_code:
            parts.append(f"Exit code {result.exit_code}.")
        return "\n".join(part for part in parts if part) or "Done; it printed nothing."
