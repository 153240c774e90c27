"""An agent of Strands that asks; and what is asked needs approval."""

from strands import Agent, ToolContext, tool
from strands.models.openai import OpenAIModel
from strands.vended_interventions.hitl import HumanInTheLoop


@tool(context=True)
def ask(question: str, tool_context: ToolContext) -> str:
    """Ask the human."""
    return str(tool_context.interrupt("human", reason=question))


@tool
def book(city: str) -> str:
    """Book a trip."""
    return f"booked {city}"


strand_asks = Agent(
    OpenAIModel(model_id="any"),
    tools=[ask, book],
    interventions=[HumanInTheLoop(allowed_tools=["ask"])],
)
