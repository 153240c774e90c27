"""An ADK agent with tools that use its memory service, as people write them."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.tools import load_memory
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from codin import wrap


async def remember(fact: str, tool_context: ToolContext) -> str:
    """Remember a fact."""
    content = types.Content(role="user", parts=[types.Part(text=fact)])
    await tool_context.add_memory(memories=[MemoryEntry(content=content, author="user")])
    return "kept"


async def recall(query: str, tool_context: ToolContext) -> str:
    """What is known of something."""
    found = (await tool_context.search_memory(query)).memories
    return "; ".join(one.content.parts[0].text for one in found) or "nothing"


async def keep_session(callback_context) -> None:
    await callback_context.add_session_to_memory()


kit_remembers = LlmAgent(
    name="kit_remembers",
    model=OpenAILlm(model="any"),
    instruction="You remember.",
    tools=[remember, recall, load_memory],
    after_agent_callback=keep_session,
)
agent = wrap(kit_remembers, description="Remembers.")
