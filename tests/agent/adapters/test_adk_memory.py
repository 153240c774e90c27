"""The platform's memory as the memory service of ADK, with its own runner and sessions."""

from __future__ import annotations

from typing import Any

import pytest
from google.adk.agents import BaseAgent
from google.adk.events.event import Event
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types

from codin.agent.adapters.adk.memory import AdkMemoryService
from codin.memory import InMemoryMemory
from codin.security import Scope
from codin.testing.hashing_embedder import HashingEmbedder

pytestmark = pytest.mark.slow

ANNA = Scope("acme", "anna", "chef")


def content(text: str, role: str = "user", **more: Any) -> types.Content:
    return types.Content(role=role, parts=[types.Part(text=text, **more)])


def event(text: str, event_id: str, author: str = "user", **more: Any) -> Event:
    return Event(id=event_id, author=author, content=content(text), timestamp=1_000.0, **more)


@pytest.fixture
def memory() -> InMemoryMemory:
    return InMemoryMemory(embedder=HashingEmbedder())


@pytest.fixture
def service(memory: InMemoryMemory) -> AdkMemoryService:
    return AdkMemoryService(memory, tenant="acme", limit=3)


async def found(service: AdkMemoryService, query: str, **who: str) -> list[str]:
    asked = {"app_name": "chef", "user_id": "anna", **who}
    response = await service.search_memory(query=query, **asked)
    return [str(one.content.parts[0].text) for one in response.memories]


async def test_a_session_is_kept_once_and_found(
    service: AdkMemoryService, memory: InMemoryMemory
) -> None:
    sessions = InMemorySessionService()
    session = await sessions.create_session(app_name="chef", user_id="anna", session_id="s1")
    await sessions.append_event(session, event("I am allergic to peanuts.", "e1"))
    await sessions.append_event(session, event("Noted.", "e2", "chef"))
    await sessions.append_event(session, Event(id="e3", author="chef"))
    for _ in range(2):
        await service.add_session_to_memory(session)
    assert (await memory.contents(ANNA)).chunks == 2
    response = await service.search_memory(app_name="chef", user_id="anna", query="peanut")
    entry = response.memories[0]
    assert (entry.id, entry.author, entry.timestamp) == ("e1", "user", "1970-01-01T00:16:40+00:00")
    assert (entry.content.role, entry.content.parts[0].text) == (
        "user",
        "I am allergic to peanuts.",
    )
    assert await found(service, "peanut", user_id="ben") == []
    assert await found(service, "peanut", app_name="waiter") == []
    assert await found(service, " ") == []
    other = AdkMemoryService(memory, tenant="other")
    assert await found(other, "peanut") == []
    await memory.forget(Scope("acme", "anna", session="s1"))
    assert await found(service, "peanut") == []


async def test_events_and_entries_are_added_to_it(
    service: AdkMemoryService, memory: InMemoryMemory
) -> None:
    who = {"app_name": "chef", "user_id": "anna"}
    events = [
        event("Whales are blue.", "e1"),
        event("Whales are b", "e2", partial=True),
        Event(id="e3", author="chef", content=content("Hm, whales?", thought=True)),
        event("Half \ud800 and \0 nothing.", "e4"),
    ]
    await service.add_events_to_memory(**who, events=events, session_id="s1")
    await service.add_events_to_memory(**who, events=[event("Apples are red.", "e5")])
    entries = [MemoryEntry(content=content("Wolves are grey."), author="zoo", id="m1")]
    await service.add_memory(**who, memories=entries)
    assert (await memory.contents(ANNA)).chunks == 4
    assert (await found(service, "whale"))[0] == "Whales are blue."
    assert (await found(service, "wolves"))[0] == "Wolves are grey."
    assert len(await found(service, "are")) == 3
    await service.delete_memory(**who, memory_id="e1")
    assert "Whales are blue." not in await found(service, "whale")
    await service.delete_memory(**who)
    assert (await memory.contents(ANNA)).chunks == 0


async def test_an_agent_of_adk_searches_it(service: AdkMemoryService) -> None:
    class Chef(BaseAgent):
        async def _run_async_impl(self, ctx: Any) -> Any:
            response = await ctx.memory_service.search_memory(
                app_name=ctx.app_name, user_id=ctx.user_id, query="peanuts"
            )
            told = response.memories[0].content.parts[0].text
            yield Event(author=self.name, content=content(f"I know: {told}", "model"))

    sessions = InMemorySessionService()
    runner = Runner(
        app_name="chef", agent=Chef(name="chef"), session_service=sessions, memory_service=service
    )
    before = await sessions.create_session(app_name="chef", user_id="anna")
    await sessions.append_event(before, event("No peanuts, please.", "e1"))
    await service.add_session_to_memory(before)
    now = await sessions.create_session(app_name="chef", user_id="anna")
    said = [
        event.content.parts[0].text
        async for event in runner.run_async(
            user_id="anna", session_id=now.id, new_message=content("What may I eat?")
        )
    ]
    assert said == ["I know: No peanuts, please."]


async def test_without_an_embedder_words_are_found() -> None:
    service = AdkMemoryService(InMemoryMemory(), tenant="acme")
    who = {"app_name": "chef", "user_id": "anna"}
    events = [event("blue whales", "1"), event("red apples", "2")]
    await service.add_events_to_memory(**who, events=events)
    assert await found(service, "whale") == ["blue whales"]
