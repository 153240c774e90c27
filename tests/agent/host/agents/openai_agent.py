"""An agent of the OpenAI Agents SDK as people write it: no address, no key."""

from agents import Agent

from codin import wrap

adder = Agent("openai-adder", instructions="You add.", model="gpt-5.2")
agent = wrap(adder, description="Adds.", tools=["add"])
