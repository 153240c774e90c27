"""Text in batches is the same text, in the same order, no later than a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codin.agent.events import AgentEvent, Completed, TextDelta, TextFinal, Thought
from codin.agent.host.batching import CHARACTERS, in_batches


async def told(events: Sequence[AgentEvent | float]) -> AsyncGenerator[AgentEvent, None]:
    for event in events:
        if isinstance(event, float):
            await asyncio.sleep(event)
        else:
            yield event


def joined(events: Sequence[AgentEvent]) -> list[object]:
    """The events with neighbouring deltas of one message as one text."""
    keyed = [(e.message_id if isinstance(e, TextDelta) else id(e), e) for e in events]
    return [
        (key, "".join(e.text for _, e in group))  # type: ignore[union-attr]
        if isinstance(key, str)
        else next(group)[1]
        for key, group in groupby(keyed, key=lambda pair: pair[0])
    ]


deltas = st.builds(TextDelta, message_id=st.sampled_from("ab"), text=st.text(max_size=5))
others = st.one_of(
    st.builds(TextFinal, message_id=st.sampled_from("ab"), text=st.text(max_size=5)),
    st.builds(Thought, text=st.text(max_size=5)),
)


@given(st.lists(st.one_of(deltas, deltas, others), max_size=30))
def test_nothing_is_lost_or_moved(events: list[AgentEvent]) -> None:
    async def run() -> list[AgentEvent]:
        return [event async for event in in_batches(told([*events, Completed()]))]

    got = asyncio.run(run())
    assert joined(got) == joined([*events, got[-1]])
    assert got[-1] == Completed()


async def test_what_comes_together_is_joined_and_large_pieces_are_not_held() -> None:
    small = [TextDelta(message_id="a", text="x") for _ in range(5000)]
    got = [event async for event in in_batches(told(small))]
    assert len(got) < 50
    assert all(isinstance(e, TextDelta) and len(e.text) <= CHARACTERS for e in got)


async def test_text_is_given_while_the_agent_thinks_on() -> None:
    slow = told([*[TextDelta(message_id="a", text=word) for word in "abc"], 60.0])
    got = ""
    async with asyncio.timeout(5):
        async for event in in_batches(slow):
            assert isinstance(event, TextDelta)
            got += event.text
            if got == "abc":
                break


@pytest.mark.parametrize("pause", [0.0, 0.05])
async def test_leaving_early_closes_the_agent(pause: float) -> None:
    closed = asyncio.Event()

    async def agent() -> AsyncGenerator[AgentEvent, None]:
        try:
            yield TextDelta(message_id="a", text="x")
            yield Thought(text="not read")
            await asyncio.sleep(60)
        finally:
            closed.set()

    batches = in_batches(agent())
    await anext(batches)
    await asyncio.sleep(pause)
    await batches.aclose()
    assert closed.is_set()
