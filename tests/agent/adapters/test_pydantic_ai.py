"""Pydantic AI's agents: the suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import BinaryContent, CallDeferred
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from codin.agent import Agent, wrap
from codin.testing.agent_conformance import AgentConformance, Scene
from codin.testing.scripted_model import ScriptedModel, text, tool_call

pytestmark = pytest.mark.slow


class City(BaseModel):
    city: str
    people: int


def llm(base_url: str) -> OpenAIChatModel:
    client = AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0)
    return OpenAIChatModel("x", provider=OpenAIProvider(openai_client=client))


class TestPydanticAi(AgentConformance):
    title = "Pydantic AI"
    cannot: ClassVar[Mapping[str, str]] = {
        "hand-offs": "an agent runs another one in a function of its own, which its events do not "
        "show: there is only the call, of whatever name the function has"
    }

    async def make(self, base_url: str) -> Agent:
        return wrap(PydanticAgent(llm(base_url), name="worker", instructions="Help."))

    def asking(self) -> Scene:
        def make(base_url: str) -> Agent:
            agent = PydanticAgent(llm(base_url), name="planner")

            @agent.tool_plain
            def ask(question: str) -> str:
                """Ask the traveller."""
                raise CallDeferred(kind="question")

            return wrap(agent)

        script = [tool_call("ask", {"question": "To which city?"}), text("Booked.")]
        return Scene(script, make)

    def approving(self) -> Scene:
        effects: list[str] = []

        def make(base_url: str) -> Agent:
            agent = PydanticAgent(llm(base_url), name="cleaner")

            @agent.tool_plain(requires_approval=True)
            def wipe(disk: str) -> str:
                """Wipe a disk."""
                effects.append(disk)
                return "wiped"

            return wrap(agent)

        both = tool_call("wipe", {"disk": "a"}) + tool_call("wipe", {"disk": "b"})
        return Scene([both, text("As you say.")], make, effects)

    def structuring(self) -> Scene:
        script = [tool_call("final_result", {"city": "Paris", "people": 2})]
        return Scene(script, lambda url: wrap(PydanticAgent(llm(url), name="g", output_type=City)))

    def making_files(self) -> Scene:
        def make(base_url: str) -> Agent:
            agent = PydanticAgent(llm(base_url), name="writer")

            @agent.tool_plain
            def write() -> BinaryContent:
                """Write the note."""
                return BinaryContent(b"hello", media_type="text/plain", identifier="note.txt")

            return wrap(agent)

        return Scene([tool_call("write"), text("Written.")], make)

    async def test_bare_hand_offs(self) -> None:
        model = ScriptedModel([tool_call("final_result", {"query": "1+2?"}), text("It is 3.")])
        async with model.serve() as url:
            back = PydanticAgent(llm(url), name="back")

            async def passing_on(query: str) -> str:
                """Pass on."""
                return (await back.run(query)).output

            front = PydanticAgent(llm(url), name="front", output_type=passing_on)
            async with front.run_stream_events("1+2?") as events:
                told = [repr(event) async for event in events]
        assert model.pending == 0
        assert "It is 3." in told[-1]
        assert not [event for event in told if "back" in event]
        assert [event for event in told[:-1] if "It is 3." in event] == []
