"""An AutoGen agent as people write it."""

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

from codin import wrap

auto = AssistantAgent(
    "auto",
    model_client=OpenAIChatCompletionClient(model="gpt-4o-mini"),
    system_message="You add.",
    model_client_stream=True,
    max_tool_iterations=5,
)
agent = wrap(auto, description="Adds.", tools=["add"])
