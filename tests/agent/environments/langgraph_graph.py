"""The graphs of LangGraph's own server in ``test_remote_servers.py``."""

import os
from typing import Annotated, TypedDict

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


model = ChatOpenAI(model="x", api_key="k", base_url=os.environ["MODEL_URL"], max_retries=0)
worker = create_agent(model, [add])


class State(TypedDict):
    messages: Annotated[list, add_messages]


def ask(state):
    city = interrupt("Which city?")
    return {"messages": [AIMessage(f"Then {city}.")]}


asking = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile()
