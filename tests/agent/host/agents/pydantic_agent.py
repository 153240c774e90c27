"""A Pydantic AI agent as people write it: no address, no key."""

from pydantic_ai import Agent

from codin import wrap

adder = Agent("openai:gpt-5.2", name="pydantic", instructions="You add.")
agent = wrap(adder, description="Adds.", tools=["add"])
