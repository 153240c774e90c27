"""A CrewAI agent."""

from __future__ import annotations

import asyncio

from crewai import LLM, Agent

from codin.agent import wrap

worker = Agent(
    role="Worker",
    goal="Help",
    backstory="You help.",
    llm=LLM(model="gpt-4o-mini", stream=True),
)
agent = wrap(worker, id="crewai")


async def direct(words: str) -> str:
    """What the agent says: a copy of it for each, as it remembers what it was told."""
    output = await asyncio.to_thread(worker.copy().kickoff, [{"role": "user", "content": words}])
    return str(output.raw)
