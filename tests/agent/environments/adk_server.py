"""Run by ``test_remote_servers.py``: ADK's own A2A server, which says its answers twice.

Arguments: the port and the model's base URL.
"""

import sys

import uvicorn
from google.adk.a2a.utils.agent_to_a2a import to_a2a
from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm
from google.adk.tools import FunctionTool
from openai import AsyncOpenAI


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def wipe(disk: str) -> str:
    """Wipes."""
    return f"wiped {disk}"


port, base_url = int(sys.argv[1]), sys.argv[2]
model = OpenAILlm(model="x", client=AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0))
wiping = FunctionTool(wipe, require_confirmation=True)
agent = LlmAgent(name="adk", model=model, instruction="Help.", tools=[add, wiping])
uvicorn.run(to_a2a(agent, port=port), port=port, log_level="error")
