"""An Agno agent."""

from __future__ import annotations

from agno.agent import Agent
from agno.models.openai import OpenAIChat

from codin.agent import wrap

worker = Agent(name="agno", model=OpenAIChat(id="any"), instructions="Help.", telemetry=False)
agent = wrap(worker, id="agno")


async def direct(words: str) -> str:
    """What the agent says, streamed."""
    said = ""
    async for event in worker.arun(words, stream=True, stream_events=True):
        said += event.content if event.event == "RunContent" else ""
    return said
