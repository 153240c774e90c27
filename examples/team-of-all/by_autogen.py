"""An agent of AutoGen, in an environment of its own."""

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

from codin import wrap

INSTRUCTIONS = (
    "You sign in for AutoGen. Call sign_in once, with your name. Then answer with the code, "
    "exactly as it was given."
)

autogen = AssistantAgent(
    "autogen",
    model_client=OpenAIChatCompletionClient(model="gpt-4o-mini"),
    system_message=INSTRUCTIONS,
    model_client_stream=True,
    max_tool_iterations=5,
)
agent = wrap(autogen, description="Signs in with AutoGen, and tells the code.", tools=["sign_in"])
