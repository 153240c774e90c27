"""The analyst: a Google ADK agent that computes with Python in the sandbox."""

from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm

from codin import wrap

INSTRUCTIONS = """You compute with Python and pandas; never guess a number. Call run_python with \
a short script that reads the file the task needs, computes everything that the task asks for, and \
prints every result with a label. If it fails, mend the script and run it again. Then answer with \
the printed results, numbers unchanged."""

agent = wrap(
    LlmAgent(name="analyst", model=OpenAILlm(model="default"), instruction=INSTRUCTIONS),
    id="analyst",
    name="Analyst",
    description=(
        "Computes with Python (pandas) in a sandbox: filters, sums, averages, rankings, "
        "correlations, statistics, and draws charts as image files. "
        "Returns numbers and file names."
    ),
    tools=["run_python"],
)
