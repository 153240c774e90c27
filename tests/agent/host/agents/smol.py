"""An agent of smolagents as people write it."""

from smolagents import OpenAIModel, ToolCallingAgent

from codin import wrap

smol = ToolCallingAgent(tools=[], model=OpenAIModel("gpt-4o-mini"), stream_outputs=True)
agent = wrap(smol, id="smol", description="Adds.", tools=["add"])
