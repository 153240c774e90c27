"""An ADK app whose agent asks, as people write it; and what is asked needs approval."""

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.integrations.openai import OpenAILlm
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.long_running_tool import LongRunningFunctionTool


def ask(question: str) -> None:
    """Ask the human."""


def book(city: str) -> str:
    """Book a trip."""
    return f"booked {city}"


root_agent = LlmAgent(
    name="clerk",
    model=OpenAILlm(model="any"),
    tools=[LongRunningFunctionTool(ask), FunctionTool(book, require_confirmation=True)],
)
app = App(name="kit_asks", root_agent=root_agent)
