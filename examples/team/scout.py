"""The scout: a LangGraph agent that finds data files and says what is in them."""

from collections.abc import Sequence

from langchain.agents import create_agent
from langchain_core.tools import BaseTool
from langchain_openai import ChatOpenAI
from langgraph.graph.state import CompiledStateGraph

from codin import wrap

INSTRUCTIONS = """You look at files. Call the one tool that shows what the task needs to know of \
the files; what it shows is your answer."""


def graph(tools: Sequence[BaseTool]) -> CompiledStateGraph:
    """The graph for one run: a compiled graph cannot be given tools later, so it is built here.

    What a tool shows is the answer as it stands: nothing is lost or made up on the way.
    """
    for tool in tools:
        tool.return_direct = True
    model = ChatOpenAI(model="default", temperature=0, stream_usage=True)
    return create_agent(model, tools, system_prompt=INSTRUCTIONS)


agent = wrap(
    graph,
    framework="langgraph",
    id="scout",
    name="Scout",
    description=(
        "Finds data files in the workspace and reads them: lists files, shows columns, types, "
        "sizes and sample rows, reads text files. Does not calculate and does not write files."
    ),
    tools=["list_files", "describe_data", "read_file"],
)
