"""A LangGraph agent that asks, as people write it; and what is asked needs approval."""

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.types import interrupt


@tool
def ask(question: str) -> str:
    """Ask the human."""
    return str(interrupt(question))


@tool
def book(city: str) -> str:
    """Book a trip."""
    return f"booked {city}"


graph_asks = create_agent(
    ChatOpenAI(model="any"),
    [ask, book],
    middleware=[HumanInTheLoopMiddleware({"book": True})],
)
