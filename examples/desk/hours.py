"""A LangGraph agent that knows when the shop is open, and hands off what is about invoices."""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from codin import wrap


def build(tools):
    return create_agent(
        ChatOpenAI(model="any"),
        tools,
        system_prompt="You tell customers when the shop is open: Monday to Friday, 9 to 18. "
        "Whatever is about invoices you hand over.",
    )


agent = wrap(
    build,
    framework="langgraph",
    id="hours",
    description="Tells customers when the shop is open: days, times and holidays.",
)
