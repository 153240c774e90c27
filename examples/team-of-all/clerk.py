"""The clerk: a plain function, which asks no model and has all the others as tools."""

import asyncio
import re

from codin import wrap

TEAM = [
    "langgraph",
    "adk",
    "agno",
    "pydantic-ai",
    "openai-agents",
    "agent-framework",
    "crewai",
    "strands",
    "llama-index",
    "autogen",
    "smolagents",
]
CODE = re.compile(r"code-[0-9a-f]{8}")


async def clerk(task):
    """Has everybody of the team sign in, and lists all their codes."""
    tools = {tool.name: tool for tool in task.tools}
    at_once = asyncio.Semaphore(3)  # a small model on this machine answers one at a time

    async def ask(name):
        async with at_once:
            return await tools[f"ask_{name}"].invoke(request="Sign in.")

    answers = await asyncio.gather(*map(ask, TEAM))
    lines = []
    for name, answer in zip(TEAM, answers, strict=True):
        codes = CODE.findall(str(answer))
        if not codes:
            raise ValueError(f"{name} told no code: {answer}")
        lines.append(f"{name}: {codes[-1]}")
    return "\n".join(lines)


agent = wrap(clerk, tools=[f"agent:{name}" for name in TEAM])
