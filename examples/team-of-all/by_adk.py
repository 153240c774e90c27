"""An agent of Google ADK."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm

from codin import wrap

INSTRUCTIONS = (
    "You sign in for ADK. Call sign_in once, with your name. Then answer with the code, exactly "
    "as it was given."
)

adk = LlmAgent(name="adk", model=OpenAILlm(model="default"), instruction=INSTRUCTIONS)
agent = wrap(adk, description="Signs in with ADK, and tells the code.", tools=["sign_in"])
