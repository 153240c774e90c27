"""The proxy that an agent's code holds in place of a tool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from codin.tool.arguments import positional
from codin.tool.base import ToolSpec
from codin.tool.context import current_call_id
from codin.tool.invocation import ToolOutcome

BoundCall = Callable[[dict[str, Any], str | None], Awaitable[ToolOutcome]]


class BoundTool:
    """A tool bound to one run: ``invoke`` is a call of the executor, checked each time.

    ``name``, ``spec`` and ``invoke`` are all there is.
    """

    __slots__ = ("__call", "name", "spec")

    def __init__(self, spec: ToolSpec, call: BoundCall) -> None:
        self.name = spec.name
        self.spec = spec
        self.__call = call

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool; positional arguments follow the order of the schema's properties.

        Raises:
            ToolError: with a message that a model can act on.
        """
        outcome = await self.__call(positional(self.spec, args, kwargs), current_call_id())
        return outcome.unwrap()

    def __repr__(self) -> str:
        return f"<BoundTool {self.name}>"
