"""Agents of the OpenAI Agents SDK: the suite."""

from __future__ import annotations

import base64

import pytest
from agents import Agent as OpenAiAgent
from agents import OpenAIChatCompletionsModel, ToolOutputFileContent, function_tool
from openai import AsyncOpenAI
from pydantic import BaseModel

from codin.agent import Agent, wrap
from codin.testing.agent_conformance import AgentConformance, Scene
from codin.testing.scripted_model import text, tool_call

pytestmark = pytest.mark.slow


class City(BaseModel):
    city: str
    people: int


def llm(base_url: str) -> OpenAIChatCompletionsModel:
    client = AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0)
    return OpenAIChatCompletionsModel("x", openai_client=client)


class TestOpenAiAgents(AgentConformance):
    title = "OpenAI Agents SDK"

    async def make(self, base_url: str) -> Agent:
        return wrap(OpenAiAgent("worker", model=llm(base_url), instructions="Help."))

    def asking(self) -> Scene:
        @function_tool(needs_approval=True)
        def ask(question: str) -> str:
            """Ask the traveller."""
            raise AssertionError("the answer is the result")

        script = [tool_call("ask", {"question": "To which city?"}), text("Booked.")]
        return Scene(script, lambda url: wrap(OpenAiAgent("planner", model=llm(url), tools=[ask])))

    def approving(self) -> Scene:
        effects: list[str] = []

        @function_tool(needs_approval=True)
        def wipe(disk: str) -> str:
            """Wipe a disk."""
            effects.append(disk)
            return "wiped"

        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene(
            [both, text("As you say.")],
            lambda url: wrap(OpenAiAgent("cleaner", model=llm(url), tools=[wipe])),
            effects,
        )

    def handing_off(self) -> Scene:
        def make(base_url: str) -> Agent:
            back = OpenAiAgent("back", model=llm(base_url))
            return wrap(OpenAiAgent("front", model=llm(base_url), handoffs=[back]))

        return Scene([tool_call("transfer_to_back"), text("It is 3.")], make)

    def structuring(self) -> Scene:
        return Scene(
            [text('{"city": "Paris", "people": 2}')],
            lambda url: wrap(OpenAiAgent("g", model=llm(url), output_type=City)),
        )

    def making_files(self) -> Scene:
        @function_tool
        def write() -> ToolOutputFileContent:
            """Write the note."""
            content = base64.b64encode(b"hello").decode()
            return ToolOutputFileContent(file_data=content, filename="note.txt")

        return Scene(
            [tool_call("write"), text("Written.")],
            lambda url: wrap(OpenAiAgent("writer", model=llm(url), tools=[write])),
        )
