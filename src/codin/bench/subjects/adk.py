"""A Google ADK agent."""

from __future__ import annotations

import uuid

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.integrations.openai import OpenAILlm
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types

from codin.agent import wrap

root_agent = LlmAgent(name="adk", model=OpenAILlm(model="any"), instruction="Help.")
agent = wrap(root_agent, id="adk")


async def direct(words: str) -> str:
    """What the agent says, streamed."""
    sessions = InMemorySessionService()
    session = await sessions.create_session(
        app_name="bench", user_id="user", session_id=uuid.uuid4().hex
    )
    runner = Runner(app_name="bench", agent=root_agent, session_service=sessions)
    said = ""
    async for event in runner.run_async(
        user_id="user",
        session_id=session.id,
        new_message=types.Content(role="user", parts=[types.Part(text=words)]),
        run_config=RunConfig(streaming_mode=StreamingMode.SSE),
    ):
        parts = (event.content.parts if event.content else None) or []
        said += "".join(part.text or "" for part in parts) if event.partial else ""
    return said
