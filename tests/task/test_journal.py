"""Whatever a run says is read back from the log as it was said, pieces of text put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codin.agent.a2a import EventDecoder, EventEncoder
from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, Completed, TextDelta, TextFinal, Thought, ToolCall
from codin.security import LOCAL_USER, RunGrants
from codin.task import (
    AgentRequestHandler,
    AgentWork,
    FencedError,
    RunServices,
    SqliteEventLog,
    TaskRunner,
    to_stream_response,
)
from codin.task._pace import Pace
from codin.task.journal import Journal
from codin.task.log.leases import Lease
from codin.testing.log_conformance import ANN, begin
from codin.testing.tasks import SmallAgent, call_context, send_request

_KEYS = st.sampled_from(["a", "b"])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, message_id=_KEYS, text=_TEXT),
        st.builds(TextFinal, message_id=_KEYS, text=_TEXT),
        st.builds(Thought, text=_TEXT),
        st.builds(ToolCall, call_id=st.just("c"), name=st.just("t")),
        st.sampled_from([0.0, 0.03]),
    ),
    max_size=25,
)


def merged(events: list[AgentEvent]) -> list[AgentEvent]:
    """``events`` with neighbouring pieces of one text put together, and empty ones left out."""
    found: list[AgentEvent] = []
    for event in events:
        last = found[-1] if found else None
        both = isinstance(event, TextDelta) and isinstance(last, TextDelta)
        if both and last.message_id == event.message_id:
            found[-1] = TextDelta(message_id=event.message_id, text=last.text + event.text)
        else:
            found.append(event)
    return [e for e in found if not (isinstance(e, TextDelta) and not e.text)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=_EVENTS)
def test_what_is_said_is_what_is_read(
    said: list[AgentEvent | float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def events(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for event in said:
            if isinstance(event, float):
                await asyncio.sleep(event)
            else:
                yield event

    async def check() -> list[AgentEvent]:
        log = await SqliteEventLog.open(tmp_path_factory.mktemp("journal") / "codin.db")
        runner = TaskRunner(log)
        agent = SmallAgent(events)
        work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
        handler = AgentRequestHandler(agent.id, lambda _: work, runner)
        task = await handler.on_message_send(send_request(), call_context())
        decoder = EventDecoder()
        read: list[AgentEvent] = []
        for event in await log.read(LOCAL_USER, task.id, 0, 10_000):
            response = to_stream_response(event.kind, event.body)
            read += decoder.decode(response) if response is not None else []
        await runner.aclose()
        await log.close()
        return read

    meant = [event for event in said if not isinstance(event, float)]
    assert merged(asyncio.run(check())) == merged([*meant, Completed()])


async def test_nothing_waits_for_a_journal_that_is_over(log: SqliteEventLog) -> None:
    lease = await begin(log)
    journal = Journal(log, lease, EventEncoder("t", "c"))
    await log.claim(ANN, "t", owner="thief", ttl=30, dead="w1")
    writing = asyncio.create_task(journal.run())
    await journal.put(Thought(text="x"))
    with pytest.raises(FencedError):
        await writing
    numbers = count()
    async with asyncio.timeout(1):
        await journal.flushed()
        for _ in range(2000):
            await journal.put(Thought(text=str(next(numbers))))
        journal.end(Completed())
        await journal.flushed()


async def test_a_fast_speaker_waits_for_the_log(log: SqliteEventLog) -> None:
    lease = await begin(log)
    journal = Journal(log, lease, EventEncoder("t", "c"))

    async def speak() -> None:
        for number in range(3000):
            await journal.put(Thought(text=str(number)))

    speaking = asyncio.create_task(speak())
    await asyncio.sleep(0.2)
    assert not speaking.done(), "nobody writes yet"
    writing = asyncio.create_task(journal.run())
    await asyncio.wait_for(speaking, 20)
    journal.end(Completed())
    await writing
    assert (await log.task(ANN, "t")).last_seq == 3002


async def test_the_busier_the_log_the_more_goes_into_one_write(
    log: SqliteEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await begin(log)
    pace = Pace()
    for _ in range(100):
        pace.took(10.0)
    journal = Journal(log, lease, EventEncoder("t", "c"), pace=pace)
    sizes: list[int] = []
    append = log.append

    async def counted(lease: Lease, entries: Any, **more: Any) -> int:
        sizes.append(len(entries))
        return await append(lease, entries, **more)

    monkeypatch.setattr(log, "append", counted)
    writing = asyncio.create_task(journal.run())
    for number in range(10):
        await journal.put(Thought(text=str(number)))
        await asyncio.sleep(0.001)
    assert sizes == [], "there may be more, and the log has enough to do"
    await journal.flushed()
    assert sizes == [10], "somebody waits for it"
    await journal.put(Thought(text="last"))
    journal.end(Completed())
    await writing
    assert sizes == [10, 2]


async def test_it_says_what_it_did_not_take(log: SqliteEventLog) -> None:
    lease = await begin(log)
    journal = Journal(log, lease, EventEncoder("t", "c"))
    broken = asyncio.Event()
    journal.open(broken.set)
    assert await journal.put(Thought(text="x"))
    assert await journal.flushed()
    await log.claim(ANN, "t", owner="w2", ttl=30, dead="w1")
    assert await journal.put(Thought(text="y"))
    assert not await journal.flushed()
    assert not await journal.put(Thought(text="z"))
    await asyncio.wait_for(broken.wait(), 5)
