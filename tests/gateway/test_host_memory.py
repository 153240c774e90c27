"""What an agent in a host may do with its caller's memory, and what it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from codin.agent.host import PlatformRefused
from codin.agent.host.memory import RunMemory
from codin.agent.host.platform_client import PlatformClient
from codin.agent.host.wire import MemoryInfo
from codin.errors import InvalidInputError
from codin.gateway import host_memory
from codin.gateway.host_api import host_api
from codin.gateway.host_memory import HostMemory
from codin.memory import Chunk, Contents, InMemoryMemory, MemoryFailure, MemoryMessage, ScopeError
from codin.memory.base import MemorySystem
from codin.security import Principal, RoleAuthorizer, RunGrant, RunGrants, Scope
from codin.testing.hashing_embedder import HashingEmbedder

NOW = 1_000_000.0
ROLES = {"both": frozenset({"memory.*"}), "reader": frozenset({"memory.read*"})}
ANNA = Principal("acme", "anna", frozenset({"both"}))
READER = Principal("acme", "anna", frozenset({"reader"}))
NOBODY = Principal("acme", "anna")
OWN = Scope("acme", "anna", "chef")
OTHERS = {
    "user": (replace(ANNA, subject="ben"), "chef"),
    "tenant": (replace(ANNA, tenant="evil"), "chef"),
    "agent": (ANNA, "cook"),
}


class NoTools:
    def specs(self, grant: RunGrant) -> list[Any]:
        return []

    async def call(self, *_: Any, **__: Any) -> Any:
        raise AssertionError


class House:
    """A host API over a memory, and the ways into it."""

    def __init__(self, memory: MemorySystem, **options: Any) -> None:
        self.memory = memory
        self.grants = RunGrants(lambda: NOW)
        host = HostMemory(memory, RoleAuthorizer(ROLES))
        self.app = host_api(self.grants, NoTools(), memory=host, **options)

    def token(self, principal: Principal = ANNA, agent: str = "chef", task: str = "t1") -> str:
        grant = RunGrant(task, "g1", "c1", agent, principal, frozenset(), NOW + 60)
        return self.grants.issue(grant)

    @asynccontextmanager
    async def http(self, token: str) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://platform", headers=headers
        ) as http:
            yield http

    @asynccontextmanager
    async def run(
        self, principal: Principal = ANNA, agent: str = "chef"
    ) -> AsyncIterator[RunMemory]:
        """The memory as the agent of a run has it."""
        async with self.http("none") as http:
            scope = Scope.of(principal, agent=agent)
            platform, token = PlatformClient(http), self.token(principal, agent)
            info = MemoryInfo(embedder="hashing-64")
            yield RunMemory(platform, token, scope, info)


@pytest.fixture
def house() -> House:
    return House(InMemoryMemory(embedder=HashingEmbedder()))


async def test_it_is_the_platforms_memory_in_the_runs_own_scope(house: House) -> None:
    async with house.run() as mine:
        note = await mine.notes.put(OWN, "a/1", {"v": [1, None]}, ttl=60)
        assert (note.key, note.value, note.scope) == ("a/1", {"v": [1, None]}, OWN)
        assert note.expires == pytest.approx(note.updated + 60)
        assert await mine.notes.get(OWN, "a/1") == note
        assert await house.memory.notes.get(OWN, "a/1") == note
        await mine.notes.put(OWN, "b", "x")
        assert [one.key for one in await mine.notes.list(OWN, prefix="a/")] == ["a/1"]
        assert [one.key for one in await mine.notes.list(OWN, limit=1)] == ["a/1"]
        assert await mine.notes.delete(OWN, "b")
        assert not await mine.notes.delete(OWN, "b")
        assert await mine.notes.get(OWN, "b") is None

        chunks = [Chunk("red apples", "1", {"n": 1}), Chunk("blue whales", "2", {"n": 2})]
        await mine.chunks.upsert(OWN, *chunks, collection="x", ttl=60)
        for mode in ("vector", "text", "hybrid"):
            [first, *_] = await mine.chunks.search(OWN, "a whale", mode=mode, collection="x")
            assert (first.id, first.text, first.metadata, first.scope) == (
                *("2", "blue whales", {"n": 2}),
                OWN,
            )
        tagged = await mine.chunks.search(OWN, "whale", where={"n": [1, 7]}, collection="x")
        assert [one.id for one in tagged] == ["1"]
        assert await mine.contents(OWN) == Contents(notes=1, chunks=2)
        kept = [(one["kind"], one.get("id")) async for one in mine.export(OWN)]
        assert sorted(kept, key=str) == [("chunk", "1"), ("chunk", "2"), ("note", None)]
        assert await mine.chunks.delete(OWN, "1", "unknown", collection="x") == 1
        assert await mine.chunks.delete(OWN, collection="x") == 0
        assert await mine.forget(OWN) == Contents(notes=1, chunks=1)
        assert (await house.memory.contents(OWN)).total == 0


@pytest.mark.parametrize("whose", OTHERS)
async def test_nobody_sees_or_touches_what_is_anothers(house: House, whose: str) -> None:
    principal, agent = OTHERS[whose]
    theirs = Scope.of(principal, agent=agent)
    async with house.run() as mine, house.run(principal, agent) as others:
        for memory, scope in ((mine, OWN), (others, theirs)):
            await memory.notes.put(scope, "k", str(scope))
            await memory.chunks.upsert(scope, Chunk(f"text of {scope}", "1"), collection="x")
        assert [one.value for one in await others.notes.list(theirs)] == [str(theirs)]
        found = await others.chunks.search(theirs, "text", collection="x")
        assert [one.text for one in found] == [f"text of {theirs}"]
        assert await others.forget(theirs) == Contents(notes=1, chunks=1)
        assert (await mine.notes.get(OWN, "k")).value == str(OWN)
        assert await mine.contents(OWN) == Contents(notes=1, chunks=1)
        # One that is asked for by name is refused before the platform hears of it,
        for scope in (theirs, replace(OWN, agent=None), replace(OWN, session="c1")):
            for call in (
                mine.notes.list(scope),
                mine.chunks.search(scope, "text", collection="x"),
                mine.chunks.delete(scope, collection="x"),
                mine.forget(scope),
                anext(mine.export(scope)),
            ):
                with pytest.raises(ScopeError, match="of nothing else"):
                    await call


@pytest.mark.parametrize("field", ["tenant", "user", "agent", "session", "scope", "principal"])
async def test_a_request_cannot_name_a_scope(house: House, field: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "notes/get": {"key": "k"},
        "notes/put": {"key": "k", "value": 1},
        "notes/list": {},
        "notes/delete": {"key": "k"},
        "chunks/search": {"query": "x", "collection": "x"},
        "chunks/upsert": {"chunks": [], "collection": "x"},
        "chunks/delete": {"ids": ["1"], "collection": "x"},
        "contents": {},
        "forget": {},
        "export": {},
    }
    async with house.http(house.token()) as http:
        for path, body in bodies.items():
            assert (await http.post(f"/memory/{path}", json=body)).status_code == 200
            answer = await http.post(f"/memory/{path}", json={**body, field: "ben"})
            assert answer.status_code == 400
            assert field in answer.json()["error"]["message"]


async def test_without_a_token_that_is_good_nothing_is_answered(house: House) -> None:
    over = house.token()
    house.grants.revoke(over)
    for token in ("none", over):
        async with house.http(token) as http:
            for path in ("notes/get", "chunks/upsert", "forget", "export"):
                assert (await http.post(f"/memory/{path}", json={"key": "k"})).status_code == 401


async def test_the_caller_has_to_be_allowed(house: House) -> None:
    async with house.http(house.token(NOBODY)) as http:
        assert (await http.get("/run")).json()["memory"] is None
        for path in ("notes/get", "notes/put", "chunks/search", "contents", "forget", "export"):
            answer = await http.post(f"/memory/{path}", json={})
            assert answer.status_code == 403
            assert "no permission memory." in answer.json()["error"]["message"]
    async with house.http(house.token(READER)) as http:
        assert (await http.get("/run")).json()["memory"] == {"embedder": "hashing-64"}
    async with house.run(READER) as memory:
        assert await memory.notes.list(OWN) == []
        for call in (
            memory.notes.put(OWN, "k", 1),
            memory.notes.delete(OWN, "k"),
            memory.chunks.upsert(OWN, Chunk("x"), collection="x"),
            memory.chunks.delete(OWN, "x", collection="x"),
            memory.forget(OWN),
        ):
            with pytest.raises(MemoryFailure, match=r"no permission memory\.write"):
                await call


async def test_a_platform_without_it_gives_none() -> None:
    grants = RunGrants(lambda: NOW)
    token = grants.issue(RunGrant("t", "g", "c", "chef", ANNA, frozenset(), NOW + 60))
    transport = httpx.ASGITransport(host_api(grants, NoTools()))
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://platform", headers=headers
    ) as http:
        assert (await http.get("/run")).json()["memory"] is None
        assert (await http.post("/memory/notes/get", json={"key": "k"})).status_code == 404


async def test_what_the_platform_keeps_itself_is_out_of_reach(house: House) -> None:
    talk = replace(OWN, session="c1")
    await house.memory.history.append(talk, MemoryMessage("user", "hello"))
    await house.memory.notes.put(talk, "theirs", 1)
    await house.memory.chunks.upsert(talk, Chunk("a turn", "t"))
    await house.memory.chunks.upsert(OWN, Chunk("an outcome", "o"))
    async with house.run() as mine:
        await mine.notes.put(OWN, "k", 1)
        assert await mine.contents(OWN) == Contents(notes=1)
        assert [one["kind"] async for one in mine.export(OWN)] == ["note"]
        assert [one.key for one in await mine.notes.list(OWN)] == ["k"]
        assert await mine.forget(OWN) == Contents(notes=1)
        for call in (
            mine.chunks.search(OWN, "turn"),
            mine.chunks.upsert(OWN, Chunk("poison")),
            mine.chunks.delete(OWN, "o"),
        ):
            with pytest.raises(MemoryFailure, match="'default' is the platform's"):
                await call
        for call in (
            mine.history.append(talk, MemoryMessage("agent", "x")),
            mine.history.list(talk),
        ):
            with pytest.raises(MemoryFailure, match="keeps conversations itself"):
                await call
        with pytest.raises(MemoryFailure, match="operator"):
            mine.chunks.reembed(OWN)
    assert await house.memory.contents(OWN) == Contents(1, 1, 2)


async def test_bad_input_is_told(house: House) -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    async with house.run() as mine:
        for call, why in (
            (mine.notes.put(OWN, "", 1), "at least 1 character"),
            (mine.notes.put(OWN, "k" * 513, 1), "at most 512"),
            (mine.notes.put(OWN, "k", float("nan")), "JSON"),
            (mine.notes.put(OWN, "k", object()), "JSON"),
            (mine.notes.put(OWN, "k", "\ud800"), "JSON"),
            (mine.notes.put(OWN, "k", "x" * 1_000_001), "1,000,000 bytes"),
            (mine.notes.put(OWN, "k", deep), "recursion limit|cannot be told"),
            (mine.notes.put(OWN, "k", 1, ttl=0), "above 0"),
            (mine.chunks.upsert(OWN, Chunk("x", metadata={"k": {}}), collection="x"), "metadata"),
            (mine.chunks.upsert(OWN, Chunk("a\0"), collection="x"), "no text"),
            (mine.chunks.upsert(OWN, Chunk("x" * 100_001), collection="x"), "100,000"),
            (mine.chunks.upsert(OWN, Chunk("x", vector=[1.0]), collection="x"), "no vectors"),
            (mine.chunks.search(OWN, vector=[1.0], mode="vector", collection="x"), "no vectors"),
            (mine.chunks.search(OWN, "x", mode="best", collection="x"), "mode"),
            (mine.chunks.search(OWN, "x", limit=1001, collection="x"), "1000"),
            (mine.chunks.search(OWN, "x", collection=""), "collection"),
            (mine.chunks.search(OWN, collection="x"), "query"),
        ):
            with pytest.raises(InvalidInputError, match=why):
                await call
        assert await mine.contents(OWN) == Contents()


async def test_sizes_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Chunk("x" * 100_000, str(n)) for n in range(100)]
    async with house.run() as mine:
        with pytest.raises(InvalidInputError, match="bytes at once"):
            await mine.chunks.upsert(OWN, *many, collection="x")
        await mine.notes.put(OWN, "large", "x" * 5_000)
        with monkeypatch.context() as patch:
            patch.setattr(host_memory, "MAX_BODY", 4_000)
            for call in (mine.notes.get(OWN, "large"), mine.notes.list(OWN)):
                with pytest.raises(InvalidInputError, match="at most 4,000: ask for fewer"):
                    await call
        with monkeypatch.context() as patch:
            patch.setattr(host_memory, "MAX_NOTES", 2)
            for number in range(3):
                await mine.notes.put(OWN, f"n{number}", number)
            with pytest.raises(InvalidInputError, match="more than 2 notes: give a longer prefix"):
                await mine.notes.list(OWN)
            assert len(await mine.notes.list(OWN, limit=2)) == 2
            assert len(await mine.notes.list(OWN, prefix="n1")) == 1
    async with house.http(house.token(task="large")) as http:
        body = b'{"key": "k", "value": "' + b"x" * 9_000_000 + b'"}'
        assert (await http.post("/memory/notes/put", content=body)).status_code == 413


async def test_one_run_keeps_so_much_and_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "MAX_KEPT_BYTES", 2_000)
    monkeypatch.setattr("time.time", lambda: NOW)
    async with house.run() as mine:
        await mine.notes.put(OWN, "k", "x" * 900)
        await mine.chunks.upsert(OWN, Chunk("y" * 700), collection="x")
        for call in (
            mine.notes.put(OWN, "k", "x" * 900),
            mine.chunks.upsert(OWN, Chunk("y" * 700), collection="x"),
        ):
            with pytest.raises(InvalidInputError, match="one run keeps at most 2,000 bytes"):
                await call
        assert await mine.notes.delete(OWN, "k")
    async with house.http(house.token(task="t2")) as http:
        answer = await http.post("/memory/notes/put", json={"key": "k", "value": "x" * 900})
        assert answer.status_code == 200


class Broken(InMemoryMemory):
    """A store that is away."""

    def export(self, scope: Scope) -> AsyncIterator[dict[str, Any]]:
        raise MemoryFailure("the memory in db.internal cannot be used")


async def test_a_host_is_not_told_of_the_platforms_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with House(Broken()).run() as mine:
        with pytest.raises(MemoryFailure, match="cannot be used just now") as raised:
            await mine.contents(OWN)
    assert "db.internal" not in str(raised.value)
    assert "db.internal" in caplog.text


async def test_a_platform_that_is_away_is_told(house: House) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there")

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(away), base_url="http://platform"
    ) as http:
        platform = PlatformClient(http)
        memory = RunMemory(platform, "t", OWN, MemoryInfo())
        for call in (memory.notes.get(OWN, "k"), anext(memory.export(OWN))):
            with pytest.raises(MemoryFailure, match="did not answer POST /memory/"):
                await call
        assert memory.chunks.embedder is None
    async with house.http(house.token(NOBODY)) as http:
        refused = PlatformClient(http).memory_lines("none", "export")
        with pytest.raises(PlatformRefused) as raised:
            await anext(refused)
        assert raised.value.status == 401
