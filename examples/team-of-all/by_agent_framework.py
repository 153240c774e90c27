"""An agent of Microsoft Agent Framework."""

from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient

from codin import wrap

INSTRUCTIONS = (
    "You sign in for Agent Framework. Call sign_in once, with your name. Then answer with the "
    "code, exactly as it was given."
)

agent_framework = Agent(
    client=OpenAIChatCompletionClient(model="default"),
    name="agent-framework",
    instructions=INSTRUCTIONS,
)
agent = wrap(
    agent_framework,
    description="Signs in with Agent Framework, and tells the code.",
    tools=["sign_in"],
)
