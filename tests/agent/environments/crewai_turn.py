"""Run by ``test_embedded_turns.py`` where CrewAI is: one turn with the model at the URL given, told
as JSON lines, the calls of the tool last."""

import asyncio
import json
import sys

from crewai import LLM, Agent

from codin.agent import wrap
from codin.testing.agent_fakes import FakeTool, task_for

TOWN = {
    "type": "object",
    "properties": {"town": {"type": "string", "description": "Name of the town"}},
    "required": ["town"],
}


async def main(url):
    async def inhabitants(town):
        return 48213 if town.lower() == "aldmoor" else 0

    said = "The number of inhabitants of a town."
    tool = FakeTool("inhabitants", inhabitants, description=said, input_schema=TOWN)
    worker = Agent(
        role="Worker",
        goal="Answer questions.",
        backstory="You answer questions.",
        llm=LLM(model="gpt-4o-mini", base_url=url, api_key="k", stream=True, max_retries=0),
    )
    task = task_for("How many inhabitants has the town of Aldmoor?", tools=[tool])
    async for event in await wrap(worker).handle(task):
        print(event.model_dump_json(), flush=True)
    print(json.dumps(tool.calls))


asyncio.run(main(sys.argv[1]))
