"""An agent of the OpenAI Agents SDK that passes on to one with a tool that needs approval."""

from agents import Agent, function_tool


@function_tool(needs_approval=True)
def wipe(disk: str) -> str:
    """Wipe a disk."""
    return f"wiped {disk}"


_cleaner = Agent("cleaner", tools=[wipe])
front = Agent("front", handoffs=[_cleaner])
