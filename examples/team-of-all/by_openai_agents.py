"""An agent of the OpenAI Agents SDK."""

from agents import Agent

from codin import wrap

INSTRUCTIONS = (
    "You sign in for OpenAI Agents. Call sign_in once, with your name. Then answer with the code, "
    "exactly as it was given."
)

openai_agents = Agent("openai-agents", instructions=INSTRUCTIONS, model="default")
agent = wrap(
    openai_agents, description="Signs in with OpenAI Agents, and tells the code.", tools=["sign_in"]
)
