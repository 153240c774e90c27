"""Run by ``test_remote_servers.py``: Strands' own A2A server, which speaks A2A 0.3.

Arguments: the port, the model's base URL, and "compliant" for the streaming that it calls so, or
"rest" for 0.3 over HTTP+JSON, by the SDK that it is built on.
"""

import sys

import uvicorn
from a2a.server.apps import A2ARESTFastAPIApplication
from strands import Agent, ToolContext, tool
from strands.models.openai import OpenAIModel
from strands.multiagent.a2a import A2AServer

port, base_url, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@tool(context=True)
def wipe(disk: str, tool_context: ToolContext) -> str:
    """Wipes."""
    said = tool_context.interrupt("wipe", reason=f"May I wipe {disk}?")
    return f"wiped {disk}" if said == "yes" else f"left {disk}"


def worker(_):
    model = OpenAIModel(
        client_args={"base_url": base_url, "api_key": "k", "max_retries": 0}, model_id="x"
    )
    said = {"name": "strands", "description": "Helps.", "callback_handler": None}
    return Agent(model=model, tools=[add, wipe], **said)


server = A2AServer(
    agent_factory=worker, port=port, enable_a2a_compliant_streaming=kind == "compliant"
)
if kind == "rest":
    card = server.public_agent_card.model_copy(update={"preferred_transport": "HTTP+JSON"})
    app = A2ARESTFastAPIApplication(agent_card=card, http_handler=server.request_handler)
    uvicorn.run(app.build(), port=port, log_level="error")
else:
    server.serve(log_level="error")
