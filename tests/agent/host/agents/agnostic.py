"""An Agno agent as people write it."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat

from codin import wrap

agent = wrap(
    Agent(model=OpenAIChat(id="any"), instructions="You add."),
    id="agnostic",
    description="Adds.",
    tools=["add"],
)
