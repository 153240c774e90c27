"""The platform's memory as LangGraph's store, held against LangGraph's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.config import get_store
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from codin.agent.adapters.langgraph.store import COLLECTION, MemoryStore
from codin.errors import InvalidInputError
from codin.memory import InMemoryMemory, MemorySystem, SQLiteMemory
from codin.security import Scope
from codin.testing.hashing_embedder import HashingEmbedder

pytestmark = pytest.mark.slow

ANNA = Scope("acme", "anna")
INDEX: Any = {"dims": 64, "embed": lambda texts: [], "fields": ["text", "tags[*]"]}


@pytest.fixture(params=["in memory", "sqlite"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemorySystem]:
    embedder = HashingEmbedder()
    opened: MemorySystem = InMemoryMemory(embedder=embedder)
    if request.param == "sqlite":
        opened = SQLiteMemory(tmp_path / "memory.db", embedder=embedder)
    async with opened:
        yield opened


ITEMS = [
    (("a",), "1", {"n": 1, "kind": "x"}),
    (("a", "b"), "1", {"n": 2, "kind": "x", "deep": {"m": 1}}),
    (("a", "b", "c"), "2", {"n": 3, "kind": "y"}),
    (("a b/c", "%2F"), "k/ü", {"n": 4, "kind": None}),
    (("z", "b"), "1", {"n": 5.5, "kind": "x"}),
]
FILTERS: list[dict[str, Any]] = [
    {},
    {"kind": "x"},
    {"n": {"$gte": 2, "$lt": 5}},
    {"n": {"$ne": 1}, "kind": "x"},
    {"n": {"$eq": 4}},
    {"n": {"$gt": 100}},
    {"deep": {"m": 1}},
]


async def test_it_answers_as_langgraphs_own(memory: MemorySystem) -> None:
    own, theirs = MemoryStore(memory, ANNA), InMemoryStore()
    for store in (own, theirs):
        for namespace, key, value in ITEMS:
            await store.aput(namespace, key, value)
        await store.aput(("a",), "gone", {"n": 9})
        await store.adelete(("a",), "gone")
        await store.adelete(("a",), "unknown")
    for namespace, key, value in ITEMS:
        item, other = await own.aget(namespace, key), await theirs.aget(namespace, key)
        assert item is not None
        assert other is not None
        assert (item.namespace, item.key, item.value) == (namespace, key, value)
        assert item.created_at.tzinfo is not None
    assert await own.aget(("a",), "gone") is None
    for prefix in ((), ("a",), ("a", "b"), ("a b/c",), ("unknown",), ("",) * 0):
        for wanted in FILTERS:
            found = [
                {(one.namespace, one.key) for one in await store.asearch(prefix, filter=wanted)}
                for store in (own, theirs)
            ]
            assert found[0] == found[1], (prefix, wanted)
    for arguments in (
        {},
        {"prefix": ("a",)},
        {"prefix": ("*", "b")},
        {"suffix": ("b",)},
        {"prefix": ("a",), "max_depth": 2},
        {"limit": 2, "offset": 1},
    ):
        assert await own.alist_namespaces(**arguments) == await theirs.alist_namespaces(**arguments)
    assert await own.asearch((), filter={"missing": {"$lte": 1}}) == []
    with pytest.raises(InvalidNamespaceError):
        await own.aput((), "k", {})
    with pytest.raises(ValueError, match=r"\$like"):
        await own.asearch((), filter={"n": {"$like": 1}})


async def test_an_item_keeps_when_it_was_made(memory: MemorySystem) -> None:
    store = MemoryStore(memory, ANNA)
    await store.aput(("a",), "k", {"v": 1})
    first = await store.aget(("a",), "k")
    await store.aput(("a",), "k", {"v": 2})
    second = await store.aget(("a",), "k")
    assert first is not None
    assert second is not None
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    latest, *_ = await store.asearch(("a",))
    assert latest.value == {"v": 2}


async def test_items_are_found_by_all_that_is_in_them(memory: MemorySystem) -> None:
    store = MemoryStore(memory, ANNA, index={"fields": ["$"]})
    await store.aput(("docs",), "whale", {"text": "blue whales", "more": {"in": "the sea"}})
    await store.aput(("docs",), "apple", {"text": "red apples"})
    for query in ("whales", "sea"):
        [first, *_] = await store.asearch(("docs",), query=query)
        assert first.key == "whale"


async def test_items_are_found_by_the_fields_of_the_index(memory: MemorySystem) -> None:
    store = MemoryStore(memory, ANNA, index=INDEX)
    await store.aput(("docs",), "whale", {"text": "blue whales", "tags": ["sea", "mammal"]})
    await store.aput(("docs",), "apple", {"text": "red apples", "tags": ["tree"]})
    await store.aput(("docs", "deep"), "wolf", {"text": "grey wolves", "title": "a whale"})
    await store.aput(("docs",), "silent", {"text": "whales, not found"}, index=False)
    await store.aput(
        ("docs",), "titled", {"text": "none", "title": "green plants"}, index=["title"]
    )
    found = await store.asearch(("docs",), query="whale")
    assert found[0].key == "whale"
    assert found[0].score is not None
    assert sorted(one.key for one in found) == ["apple", "titled", "whale", "wolf"]
    [mammal, *_] = await store.asearch(("docs",), query="mammal")
    assert mammal.key == "whale"
    [plants, *_] = await store.asearch(("docs",), query="green plants")
    assert plants.key == "titled"
    assert [one.key for one in await store.asearch(("docs", "deep"), query="whale")] == ["wolf"]
    filtered = await store.asearch(("docs",), query="whale", filter={"tags": ["tree"]})
    assert [one.key for one in filtered] == ["apple"]
    second = await store.asearch(("docs",), query="whale", limit=1, offset=1)
    assert len(second) == 1
    assert second[0].key != "whale"
    # What is replaced or deleted is found no more.
    await store.aput(("docs",), "whale", {"text": "a car"})
    await store.adelete(("docs",), "apple")
    assert [one.key for one in await store.asearch(("docs",), query="mammal red", limit=9)].count(
        "apple"
    ) == 0
    assert (await memory.contents(ANNA)).chunks == 3


async def test_without_an_embedder_words_are_found() -> None:
    store = MemoryStore(InMemoryMemory(), ANNA, index=INDEX)
    await store.aput(("docs",), "whale", {"text": "blue whales"})
    await store.aput(("docs",), "apple", {"text": "red apples"})
    assert [one.key for one in await store.asearch(("docs",), query="whale")] == ["whale"]


async def test_items_run_out_and_reading_gives_them_time(memory: MemorySystem) -> None:
    store = MemoryStore(memory, ANNA, index=INDEX, ttl={"default_ttl": 0.01})
    await store.aput(("a",), "short", {"text": "blue whales"})
    await store.aput(("a",), "long", {"text": "red apples"}, ttl=None)
    for _ in range(4):
        await asyncio.sleep(0.25)
        assert await store.aget(("a",), "short") is not None
    await asyncio.sleep(0.4)
    assert await store.aget(("a",), "short", refresh_ttl=False) is not None
    await asyncio.sleep(0.4)
    assert await store.aget(("a",), "short") is None
    found = await store.asearch(("a",), query="whale")
    assert [one.key for one in found] == ["long"]
    assert (await memory.contents(ANNA)).chunks == 1


async def test_others_share_nothing(memory: MemorySystem) -> None:
    stores = [
        MemoryStore(memory, scope, index=INDEX)
        for scope in (ANNA, Scope("acme", "ben"), Scope("acme", "anna", "agent"))
    ]
    for at, store in enumerate(stores):
        await store.aput(("same",), "k", {"text": f"whale of {at}"})
    for at, store in enumerate(stores):
        for query in (None, "whale"):
            found = await store.asearch(("same",), query=query)
            assert [one.value["text"] for one in found] == [f"whale of {at}"]
    await memory.forget(ANNA)
    assert await stores[2].aget(("same",), "k") is None
    assert await stores[1].aget(("same",), "k") is not None


async def test_a_batch_reads_what_was_there_and_keeps_the_last(memory: MemorySystem) -> None:
    store = MemoryStore(memory, ANNA)
    await store.aput(("a",), "k", {"v": 0})
    read, _, _, found = await store.abatch(
        [
            GetOp(("a",), "k"),
            PutOp(("a",), "k", {"v": 1}),
            PutOp(("a",), "k", {"v": 2}),
            SearchOp(("a",)),
        ]
    )
    assert read.value == {"v": 0}
    assert [one.value for one in found] == [{"v": 0}]
    item = await store.aget(("a",), "k")
    assert item is not None
    assert item.value == {"v": 2}


async def test_what_cannot_be_kept_is_refused(memory: MemorySystem) -> None:
    store = MemoryStore(memory, ANNA)
    for namespace, key, value in [
        (("x" * 600,), "k", {}),
        (("a",), "k", {"v": object()}),
        (("a",), "k", {"v": "x" * 1_100_000}),
    ]:
        with pytest.raises(InvalidInputError):
            await store.aput(namespace, key, value)


async def test_a_graph_has_it_in_threads_and_in_the_loop(memory: MemorySystem) -> None:
    store = MemoryStore(memory, ANNA, index=INDEX)
    with pytest.raises(RuntimeError, match="await"):
        store.put(("a",), "k", {})

    def learn(state: MessagesState) -> dict[str, Any]:
        get_store().put(("facts",), "diet", {"text": str(state["messages"][-1].content)})
        return {"messages": []}

    async def recall(state: MessagesState) -> dict[str, Any]:
        [fact] = await get_store().asearch(("facts",), query="food")
        return {"messages": [("assistant", f"I know: {fact.value['text']}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("learn", learn)
    builder.add_node("recall", recall)
    builder.add_edge(START, "learn")
    builder.add_edge("learn", "recall")
    graph = builder.compile(store=store)
    answer = await graph.ainvoke({"messages": [("user", "No peanuts, please.")]})
    assert answer["messages"][-1].content == "I know: No peanuts, please."
    found = await memory.chunks.search(ANNA, "peanuts", collection=COLLECTION)
    assert [one.text for one in found] == ["No peanuts, please."]


def test_without_a_loop_it_says_so() -> None:
    store = MemoryStore(InMemoryMemory(), ANNA)
    with pytest.raises(RuntimeError, match="belongs to an event loop"):
        store.get(("a",), "k")
