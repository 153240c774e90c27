"""A team of Agno's whose member has a tool that needs approval."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.team import Team
from agno.tools import tool

from codin import wrap


@tool(requires_confirmation=True)
def book(city: str) -> str:
    """Book a trip."""
    return f"booked {city}"


agno_asks = wrap(
    Team(
        name="front",
        model=OpenAIChat(id="any"),
        members=[Agent(name="back", model=OpenAIChat(id="any"), tools=[book])],
    ),
    id="agno_asks",
    tools=["add"],
)
