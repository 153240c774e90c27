"""An agent's response: one end, errors as events, and cancelling reaches the agent."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from codin.agent.events import AgentEvent, Canceled, Completed, Failed, TextDelta, TextFinal
from codin.agent.response import AgentResponse
from codin.errors import CodinError


async def said(*events: AgentEvent) -> AsyncGenerator[AgentEvent, None]:
    for event in events:
        yield event


async def test_a_response_that_does_not_say_its_end_is_completed() -> None:
    events = [event async for event in AgentResponse(said(TextDelta(message_id="m", text="a")))]
    assert events[-1] == Completed()


async def test_nothing_comes_after_the_end() -> None:
    response = AgentResponse(said(Canceled(), TextDelta(message_id="m", text="late"), Completed()))
    assert [event async for event in response] == [Canceled()]


async def test_an_exception_is_the_failed_event_and_is_not_raised() -> None:
    async def broken() -> AsyncGenerator[AgentEvent, None]:
        yield TextDelta(message_id="m", text="a")
        raise ValueError("no such column")

    outcome = await AgentResponse(broken())
    assert outcome.end == Failed(error_type="ValueError", message="no such column")
    assert not outcome.ok


async def test_the_outcome_has_the_final_text_rather_than_the_deltas() -> None:
    outcome = await AgentResponse(
        said(
            TextDelta(message_id="1", text="first"),
            TextDelta(message_id="2", text="br"),
            TextDelta(message_id="2", text="oken"),
            TextFinal(message_id="2", text="healed"),
        )
    )
    assert outcome.text == "healed"
    assert outcome.ok


async def test_cancelling_the_consumer_closes_the_agent() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[AgentEvent, None]:
        try:
            yield TextDelta(message_id="m", text="a")
            await asyncio.sleep(60)
        finally:
            closed.set()

    async def consume() -> None:
        async for _ in AgentResponse(endless()):
            pass

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert closed.is_set()


async def test_a_response_is_consumed_once() -> None:
    response = AgentResponse(said())
    await response
    with pytest.raises(CodinError, match="consumed already"):
        await response
