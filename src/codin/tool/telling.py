"""The tool by which an agent tells what changes more than its own task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from codin.tool.base import ToolSpec
from codin.tool.invocation import Invocation, RunnableTool

if TYPE_CHECKING:
    from codin.security import RunGrant

TELL = "tell_new_facts"
"""The name of the tool, for agents that ask for it."""

Tell = Callable[["RunGrant", str], Awaitable[None]]
"""Has something new known in the run of a grant."""


class TellTool(RunnableTool):
    """Has the plan made anew of the goal that the caller's task is a step of."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.name = TELL
        self.spec = ToolSpec(
            name=TELL,
            description=(
                "Tell what you have found out that changes the plan of the whole team, such as "
                "that something is missing, or is not as it was said to be. Not for your results."
            ),
            input_schema={
                "type": "object",
                "properties": {
                    "facts": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 20_000,
                        "description": "What is new, so that it can be understood alone.",
                    }
                },
                "required": ["facts"],
                "additionalProperties": False,
            },
        )

    async def run(self, call: Invocation) -> Any:
        """Have it known."""
        await self._tell(call.grant, call.arguments["facts"])
        return "It is known now. Go on with your own task."
