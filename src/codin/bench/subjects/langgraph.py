"""A LangGraph agent."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from codin.agent import wrap

graph: Any = create_agent(ChatOpenAI(model="any", stream_usage=True), [], system_prompt="Help.")
agent = wrap(graph, id="langgraph")


async def direct(words: str) -> str:
    """What the graph says, streamed."""
    said = ""
    stream = graph.astream({"messages": [("user", words)]}, stream_mode=["messages", "updates"])
    async for mode, data in stream:
        said += data[0].text if mode == "messages" else ""
    return said
