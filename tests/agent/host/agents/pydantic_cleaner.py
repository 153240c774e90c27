"""A Pydantic AI agent with a tool that needs approval."""

from pydantic_ai import Agent

cleaner = Agent("openai:gpt-5.2", name="cleaner")


@cleaner.tool_plain(requires_approval=True)
def wipe(disk: str) -> str:
    """Wipe a disk."""
    return f"wiped {disk}"
