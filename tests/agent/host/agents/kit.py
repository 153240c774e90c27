"""An ADK agent as people write it."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm

from codin import wrap

kit = LlmAgent(name="kit", model=OpenAILlm(model="any"), instruction="You add.")
agent = wrap(kit, description="Adds.", tools=["add"])
