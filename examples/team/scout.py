"""The scout: a LangGraph agent that finds data files and says what is in them."""

from collections.abc import Sequence

from langchain.agents import create_agent
from langchain_core.tools import BaseTool
from langchain_openai import ChatOpenAI
from langgraph.graph.state import CompiledStateGraph

from codin import wrap

INSTRUCTIONS = """You look at files and say what is in them. Call one tool, then answer in one or \
two sentences with what it showed: paths, columns, numbers of rows, or the lines that are asked \
for. You never calculate and never answer questions about the data: others do."""


def graph(tools: Sequence[BaseTool]) -> CompiledStateGraph:
    """The graph for one run: a compiled graph cannot be given tools later, so it is built here."""
    model = ChatOpenAI(model="default", temperature=0)
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
