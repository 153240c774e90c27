"""The writer: an Agno agent that writes findings down."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat

from codin import wrap

INSTRUCTIONS = """You write down findings that you are given. Use only the facts and numbers of \
the findings, and copy numbers exactly. Call write_file once, with the whole text and a plain file \
name such as report.md. Then answer in one or two sentences that repeat the main facts and numbers \
and name the file."""

agent = wrap(
    Agent(model=OpenAIChat(id="default", temperature=0), instructions=INSTRUCTIONS),
    id="writer",
    name="Writer",
    description=(
        "Writes the result down: short reports, summaries, e-mails and tables as Markdown or "
        "text files from given findings. Does not read data and does not calculate."
    ),
    tools=["write_file"],
)
