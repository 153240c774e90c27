"""Run by ``test_remote_servers.py``: Agno's AgentOS with its A2A interface, which speaks A2A 0.3.

Arguments: the port and the model's base URL.
"""

import sys

import uvicorn
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.openai import OpenAILike
from agno.os import AgentOS


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


port, base_url = int(sys.argv[1]), sys.argv[2]
agent = Agent(
    id="worker",
    name="agno",
    description="Helps.",
    tools=[add],
    db=InMemoryDb(),
    add_history_to_context=True,
    model=OpenAILike(id="x", api_key="k", base_url=base_url, max_retries=0),
)
app = AgentOS(agents=[agent], a2a_interface=True).get_app()
uvicorn.run(app, port=port, log_level="error")
