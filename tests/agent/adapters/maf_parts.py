"""Agents, tools and workflows of Microsoft Agent Framework, which reads the types of functions."""

from typing import Any

from agent_framework import (
    Agent,
    Content,
    Executor,
    FunctionTool,
    Message,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    response_handler,
    tool,
)
from agent_framework.openai import OpenAIChatCompletionClient
from agent_framework.orchestrations import HandoffBuilder, SequentialBuilder
from openai import AsyncOpenAI
from pydantic import BaseModel


class City(BaseModel):
    city: str
    people: int


class Booking(Executor):
    """Asks two things, of which the second is no text."""

    @handler
    async def begin(self, messages: list[Message], ctx: WorkflowContext[Any]) -> None:
        await ctx.request_info("Which city?", str)

    @response_handler
    async def city(self, asked: str, city: str, ctx: WorkflowContext[Any]) -> None:
        await ctx.request_info({"question": f"How is {city}?"}, City)

    @response_handler
    async def found(
        self, asked: dict[str, str], city: City, ctx: WorkflowContext[Any, City]
    ) -> None:
        await ctx.yield_output(city)


def booking() -> Any:
    return WorkflowBuilder(start_executor=Booking(id="booking"), name="booking").build()


def client(base_url: str) -> Any:
    asked = AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0)
    return OpenAIChatCompletionClient(model="x", async_client=asked)


def worker(base_url: str, name: str = "worker", **more: Any) -> Any:
    return Agent(client(base_url), "Help.", name=name, **more)


def asking_tool() -> Any:
    """Declared only: whoever runs the agent says what comes of it."""
    return FunctionTool(
        name="ask_user",
        description="Ask the user.",
        func=None,
        input_model={"type": "object", "properties": {"question": {"type": "string"}}},
    )


def wiping_tool(wiped: list[str]) -> Any:
    @tool(approval_mode="always_require")
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        wiped.append(disk)
        return f"{disk} is wiped"

    return wipe


def writing_tool() -> Any:
    @tool
    def write() -> list[Content]:
        """Write a note."""
        note = Content.from_data(b"hello", "text/plain", additional_properties={"name": "note.txt"})
        return [Content.from_text("written"), note]

    return write


def member(base_url: str, name: str, **more: Any) -> Any:
    return worker(base_url, name, require_per_service_call_history_persistence=True, **more)


def handing_over(base_url: str) -> Any:
    front, back = member(base_url, "front"), member(base_url, "back")
    return HandoffBuilder(name="team", participants=[front, back]).with_start_agent(front).build()


def in_turn(base_url: str, **more: Any) -> Any:
    """A workflow of two, one after the other; the first has ``more``."""
    first, second = member(base_url, "writer", **more), member(base_url, "editor")
    return SequentialBuilder(participants=[first, second]).build()
