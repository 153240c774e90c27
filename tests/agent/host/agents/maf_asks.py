"""An agent of Microsoft Agent Framework that asks; and what is asked needs approval."""

from agent_framework import Agent, FunctionTool, tool
from agent_framework.openai import OpenAIChatClient

ask = FunctionTool(
    name="ask",
    description="Ask the human.",
    func=None,
    input_model={"type": "object", "properties": {"question": {"type": "string"}}},
)


@tool(approval_mode="always_require")
def book(city: str) -> str:
    """Book a trip."""
    return f"booked {city}"


maf_asks = Agent(OpenAIChatClient(model="any"), tools=[ask, book])
