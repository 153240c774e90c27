"""An agent of Microsoft Agent Framework as people write them."""

from agent_framework import Agent
from agent_framework.openai import OpenAIChatClient

from codin import wrap

maf = Agent(OpenAIChatClient(model="any"), "You add.", name="maf", description="Adds.")
agent = wrap(maf, tools=["add"])
