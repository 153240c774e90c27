"""Google ADK's agents: the suite, and what is their own."""

from __future__ import annotations

import pytest
from google.adk.agents import LlmAgent
from google.adk.integrations.openai import OpenAILlm
from google.adk.models.google_llm import Gemini
from google.adk.models.llm_request import LlmRequest
from google.adk.tools import ToolContext
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.long_running_tool import LongRunningFunctionTool
from google.genai import types
from openai import AsyncOpenAI
from pydantic import BaseModel

from codin.agent import Agent, wrap
from codin.agent.events import Completed, TextDelta, TextFinal, Thought, Usage
from codin.testing.a2a_server import listening
from codin.testing.agent_conformance import (
    AgentConformance,
    Scene,
    behaviour,
    collect,
    of,
    task_for,
)
from codin.testing.gemini import gemini
from codin.testing.scripted_model import ScriptedModel, text, thought, tool_call

pytestmark = pytest.mark.slow


class Place(BaseModel):
    city: str
    people: int


def llm(url: str) -> OpenAILlm:
    return OpenAILlm(model="x", client=AsyncOpenAI(api_key="k", base_url=url, max_retries=0))


class TestAdk(AgentConformance):
    title = "Google ADK"

    async def make(self, base_url: str) -> Agent:
        return wrap(LlmAgent(name="worker", model=llm(base_url), instruction="Help."))

    @behaviour("thoughts")
    async def test_tells_its_thoughts_apart_from_its_text(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # with Gemini's client: that for OpenAI's protocol drops them, as is shown below
        monkeypatch.setenv("GOOGLE_API_KEY", "k")
        first, last = (
            {"text": "First I look", "thought": True},
            {"text": " at it.", "thought": True},
        )
        async with listening(gemini(first, last, {"text": "It is "}, {"text": "so."})) as url:
            model = Gemini(model="gemini-2.5-flash", base_url=url)
            events = await collect(wrap(LlmAgent(name="worker", model=model)), task_for("?"))
        assert [t.text for t in of(events, Thought)] == ["First I look", " at it."]
        assert [d.text for d in of(events, TextDelta)] == ["It is ", "so."]
        assert [f.text for f in of(events, TextFinal)] == ["It is so."]
        assert [(u.input_tokens, u.output_tokens) for u in of(events, Usage)] == [(3, 5)]
        assert isinstance(events[-1], Completed)

    async def test_bare_thoughts(self) -> None:
        async with ScriptedModel([thought("Let me see. ") + text("Yes.")]).serve() as url:
            asked = types.Content(role="user", parts=[types.Part(text="?")])
            request = LlmRequest(contents=[asked])
            said = [r async for r in llm(url).generate_content_async(request, stream=True)]
        parts = [part for response in said for part in response.content.parts]
        assert {part.text for part in parts} == {"Yes."}
        assert not any(part.thought for part in parts)

    def asking(self) -> Scene:
        def ask(question: str) -> None:
            """Ask the human."""

        def make(url: str) -> Agent:
            return wrap(LlmAgent(name="asks", model=llm(url), tools=[LongRunningFunctionTool(ask)]))

        return Scene([tool_call("ask", {"question": "Which city?"}), text("Booked.")], make)

    def approving(self) -> Scene:
        wiped: list[str] = []

        def wipe(disk: str) -> str:
            """Wipe a disk."""
            wiped.append(disk)
            return "wiped"

        def make(url: str) -> Agent:
            tool = FunctionTool(wipe, require_confirmation=True)
            return wrap(LlmAgent(name="careful", model=llm(url), tools=[tool]))

        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene([both, text("That is it.")], make, wiped)

    def handing_off(self) -> Scene:
        def make(url: str) -> Agent:
            back = LlmAgent(name="back", model=llm(url), description="Adds.")
            return wrap(LlmAgent(name="front", model=llm(url), sub_agents=[back]))

        passing = tool_call("transfer_to_agent", {"agent_name": "back"})
        return Scene([passing, text("It is 3.")], make)

    def structuring(self) -> Scene:
        return Scene(
            [text('{"city": "Paris", "people": 2}')],
            lambda url: wrap(LlmAgent(name="place", model=llm(url), output_schema=Place)),
        )

    def making_files(self) -> Scene:
        async def write(tool_context: ToolContext) -> str:
            """Write a note."""
            note = types.Part.from_bytes(data=b"hello", mime_type="text/plain")
            await tool_context.save_artifact("note.txt", note)
            return "written"

        return Scene(
            [tool_call("write", {}), text("Done.")],
            lambda url: wrap(LlmAgent(name="writer", model=llm(url), tools=[write])),
        )
