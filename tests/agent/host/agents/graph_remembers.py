"""A LangGraph agent with tools that keep things in its store, as people write them."""

from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
async def remember(fact: str, runtime: ToolRuntime) -> str:
    """Remember a fact."""
    await runtime.store.aput(("facts",), fact[:20], {"text": fact})
    return "kept"


@tool
def recall(query: str, runtime: ToolRuntime) -> str:
    """What is known of something."""
    found = runtime.store.search(("facts",), query=query)
    return "; ".join(one.value["text"] for one in found) or "nothing"


@tool
async def drop(runtime: ToolRuntime) -> str:
    """Forget all facts."""
    for one in await runtime.store.asearch(("facts",)):
        await runtime.store.adelete(one.namespace, one.key)
    return "dropped"


graph_remembers = create_agent(ChatOpenAI(model="any"), [remember, recall, drop])
