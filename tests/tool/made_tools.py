"""Tools of any spec, for tests that are about what is known of tools and not about calling them."""

from typing import Any

from codin.tool import Invocation, RunnableTool, ToolSpec


class Made(RunnableTool):
    """A tool that gives its arguments back."""

    def __init__(self, **fields: Any) -> None:
        self.spec = ToolSpec(**fields)
        self.name = self.spec.name

    async def run(self, call: Invocation) -> Any:
        return call.arguments
