"""An agent of Strands, which needs other versions than the platform has."""

from strands import Agent
from strands.models.openai import OpenAIModel

from codin import wrap

INSTRUCTIONS = (
    "You sign in for Strands. Call sign_in once, with your name. Then answer with the code, "
    "exactly as it was given."
)

strands = Agent(name="strands", model=OpenAIModel(model_id="default"), system_prompt=INSTRUCTIONS)
agent = wrap(
    strands,
    id="strands",
    description="Signs in with Strands, and tells the code.",
    tools=["sign_in"],
)
