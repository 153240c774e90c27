"""A LangGraph agent as people write it."""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from codin import wrap


def build(tools):
    return create_agent(ChatOpenAI(model="any"), tools, system_prompt="You add.")


agent = wrap(build, framework="langgraph", id="graph", description="Adds.", tools=["add"])
