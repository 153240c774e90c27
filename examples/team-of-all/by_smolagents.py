"""An agent of smolagents, in an environment of its own."""

from smolagents import OpenAIModel, ToolCallingAgent

from codin import wrap

INSTRUCTIONS = (
    "You sign in for smolagents. Call sign_in once, with your name. Then give the code, exactly "
    "as it was given, as your final answer."
)

smolagents = ToolCallingAgent(
    name="smolagents",
    description="Signs in.",
    model=OpenAIModel("gpt-4o-mini"),
    tools=[],
    stream_outputs=True,
    instructions=INSTRUCTIONS,
)
agent = wrap(
    smolagents, description="Signs in with smolagents, and tells the code.", tools=["sign_in"]
)
