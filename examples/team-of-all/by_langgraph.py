"""An agent of LangGraph: a graph is compiled with its tools, so each run has its own built."""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from codin import wrap

INSTRUCTIONS = (
    "You sign in for LangGraph. Call sign_in once, with your name. Then answer with the code, "
    "exactly as it was given."
)


def build(tools):
    return create_agent(ChatOpenAI(model="default"), tools, system_prompt=INSTRUCTIONS)


agent = wrap(
    build,
    framework="langgraph",
    id="langgraph",
    description="Signs in with LangGraph, and tells the code.",
    tools=["sign_in"],
)
