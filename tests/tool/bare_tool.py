"""A tool file that needs nothing but codin's decorator."""

from codin import tool
from codin.tool import ToolContext, ToolError, ToolLimits


@tool(limits=ToolLimits(seconds=1))
def shout(text: str, context: ToolContext) -> str:
    """Shout."""
    return f"{text.upper()} {context.user}"


@tool
def refuse(text: str, context: ToolContext) -> str:
    """Refuse."""
    raise ToolError("not today")
