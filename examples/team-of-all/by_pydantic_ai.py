"""An agent of Pydantic AI."""

from pydantic_ai import Agent

from codin import wrap

INSTRUCTIONS = (
    "You sign in for Pydantic AI. Call sign_in once, with your name. Then answer with the code, "
    "exactly as it was given."
)

pydantic_ai = Agent("openai-chat:default", name="pydantic-ai", instructions=INSTRUCTIONS)
agent = wrap(
    pydantic_ai, description="Signs in with Pydantic AI, and tells the code.", tools=["sign_in"]
)
