"""An Agno agent that writes letters, and asks the one who knows of invoices."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat

from codin import wrap

letters = Agent(
    model=OpenAIChat(id="any"),
    instructions="You write short, kind letters to customers. What a letter says of an invoice you "
    "ask first.",
)
agent = wrap(
    letters,
    id="letters",
    description="Writes short letters to customers.",
    tools=["agent:billing"],
)
