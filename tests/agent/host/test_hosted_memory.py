"""Agents of real frameworks in real hosts remember their callers from goal to goal."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import Platform, platform

from codin.agent import Agent
from codin.memory import Chunk, InMemoryMemory, Note
from codin.memory.chunks import DEFAULT_COLLECTION
from codin.security import Principal, Scope
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.scripted_model import RecordedRequest, Turn, text, tool_call

AGENTS = Path(__file__).with_name("agents")
NAMES = ("graph_remembers", "kit_remembers", "hostile_memory")

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

OWNER = frozenset({"owner"})
ANNA = Principal("acme", "anna", OWNER)
BEN = Principal("acme", "ben", OWNER)
OTHER_ANNA = Principal("evil", "anna", OWNER)


def answer(request: RecordedRequest) -> Turn:
    """Calls the tool that it is told to, and says what came of it."""
    if request.tool_results:
        return text(f"it says: {request.tool_results[-1]}")
    name, _, what = request.last_user.partition(" ")
    asked = {"remember": {"fact": what}, "recall": {"query": what}, "drop": {}}
    return tool_call(name, asked[name])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        memory = InMemoryMemory(embedder=HashingEmbedder())
        async with platform(Path(folder), answer, memory=memory) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents(place: Platform) -> dict[str, Agent]:
    started = await asyncio.gather(
        *(place.hosts.start([str(AGENTS / f"{name}.py")]) for name in NAMES)
    )
    return {name: host.agents[0] for name, host in zip(NAMES, started, strict=True)}


async def said(place: Platform, agent: Agent, words: str, who: Principal) -> str:
    outcome = await place.run(agent, words, tools=(), principal=who, agent_id=agent.id)
    return outcome.text


@pytest.mark.parametrize("name", ["graph_remembers", "kit_remembers"])
async def test_what_is_kept_in_one_goal_is_found_in_the_next_by_nobody_else(
    place: Platform, agents: dict[str, Agent], name: str
) -> None:
    agent = agents[name]
    assert "kept" in await said(place, agent, "remember Anna must not eat peanuts.", ANNA)
    assert "kept" in await said(place, agent, "remember Ben likes peanuts with salt.", BEN)
    assert "Anna must not eat peanuts." in await said(place, agent, "recall peanuts", ANNA)
    assert "Ben" not in await said(place, agent, "recall peanuts", ANNA)
    told = await said(place, agent, "recall peanuts", BEN)
    assert "Ben likes peanuts with salt." in told
    assert "Anna" not in told
    told = await said(place, agent, "recall peanuts", OTHER_ANNA)
    assert not re.search("Anna|Ben", told)
    # It is the platform's memory, under whose it is.
    own = Scope("acme", "anna", agent.id)
    assert (await place.memory.contents(own)).chunks > 0
    assert (await place.memory.contents(Scope("acme", "anna", "another"))).total == 0


async def test_an_item_is_dropped_by_whose_it_is(place: Platform, agents: dict[str, Agent]) -> None:
    agent = agents["graph_remembers"]
    for who in (ANNA, BEN):
        await said(place, agent, "remember tea is green", who)
    await said(place, agent, "drop", ANNA)
    assert "nothing" in await said(place, agent, "recall tea", ANNA)
    assert "tea is green" in await said(place, agent, "recall tea", BEN)


async def test_a_session_of_adk_is_kept_and_found(
    place: Platform, agents: dict[str, Agent]
) -> None:
    who = Principal("acme", "eve", OWNER)
    await said(place, agents["kit_remembers"], "remember the sky is blue", who)
    own = Scope("acme", "eve", "kit_remembers")
    kept = [one["text"] async for one in place.memory.export(own)]
    # What was said to it, its answer, and the fact itself.
    assert {"remember the sky is blue", "the sky is blue"} <= set(kept)
    assert "sky is blue" in await said(place, agents["kit_remembers"], "recall sky", who)


async def test_what_is_not_its_own_is_refused(place: Platform, agents: dict[str, Agent]) -> None:
    agent = agents["hostile_memory"]
    for scope in ("tenant", "user", "agent", "wide", "session"):
        for verb in ("put", "search", "forget"):
            told = await said(place, agent, f"{scope} {verb}", ANNA)
            assert told.startswith("ScopeError: the memory of this run is of Scope(")
    told = await said(place, agent, "own default", ANNA)
    assert told.startswith("MemoryFailure: ")
    assert "'default' is the platform's" in told


async def test_it_forgets_what_it_has_kept_and_nothing_else(
    place: Platform, agents: dict[str, Agent]
) -> None:
    agent = agents["hostile_memory"]
    own = Scope("acme", "anna", "hostile_memory")
    await place.memory.chunks.upsert(own, Chunk("a turn"), collection=DEFAULT_COLLECTION)
    assert "Note(key='k'" in await said(place, agent, "own put", ANNA)
    assert "Note(key='k'" in await said(place, agent, "own put", BEN)
    told = await said(place, agent, "own forget", ANNA)
    assert told == "done: Contents(messages=0, notes=1, chunks=0)"
    assert (await place.memory.contents(own)).chunks == 1
    kept: Note | None = await place.memory.notes.get(Scope("acme", "ben", own.agent), "k")
    assert kept is not None


async def test_who_may_not_read_their_memory_has_none(
    place: Platform, agents: dict[str, Agent]
) -> None:
    nobody = Principal("acme", "anna")
    assert await said(place, agents["hostile_memory"], "own put", nobody) == "no memory"
    # ADK has one of its own, which ends with the run.
    for _ in range(2):
        assert "nothing" in await said(place, agents["kit_remembers"], "recall sea", nobody)
