"""What memory in Redis or Valkey can do that others cannot, and what goes wrong there only."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from codin.errors import InvalidInputError
from codin.memory import (
    Chunk,
    Contents,
    EmbeddingError,
    MemoryFailure,
    _redis_chunks,
    _redis_reembedding,
    _redis_scripts,
)
from codin.memory.redis import RedisMemory
from codin.security import Scope
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import ANNA, ANNAS, BEN, said
from codin.testing.redis import RedisServer, redis_server

pytestmark = pytest.mark.slow


@pytest.fixture
def server(redis: RedisServer) -> Iterator[RedisServer]:
    yield redis
    assert redis.say("FLUSHALL") == "+OK"


def memory_at(server: RedisServer, **options: int) -> RedisMemory:
    return RedisMemory(server.url(), embedder=HashingEmbedder(), **options)


def numbered(*numbers: int) -> list[Chunk]:
    return [Chunk(f"chunk number{number}", str(number), {"n": number}) for number in numbers]


async def found(memory: RedisMemory, query: str, scope: Scope = ANNAS, **options) -> list[str]:
    return [one.id for one in await memory.chunks.search(scope, query, **options)]


@asynccontextmanager
async def two_memories(server: RedisServer, **options: int) -> AsyncIterator[list[RedisMemory]]:
    """As two processes would have them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(memory_at(server, **options)) for _ in range(2)]


async def test_what_others_write_is_found_at_once(server: RedisServer) -> None:
    async with two_memories(server) as (one, two):
        for memory, other in ((one, two), (two, one)) * 2:
            await memory.chunks.upsert(ANNA, *numbered(*range(50)))
            everything = {str(number) for number in range(50)}
            for mode in ("vector", "text", "hybrid"):
                assert set(await found(other, "chunk", mode=mode, limit=100)) == everything
            await memory.chunks.upsert(ANNA, Chunk("another text", "7", {"n": -7}))
            await memory.chunks.delete(ANNA, *map(str, range(8, 50)))
            for each in (memory, other):
                assert await found(each, "number7", mode="text") == []
                assert await found(each, "another", mode="text") == ["7"]
                assert await found(each, "x", mode="vector", where={"n": -7}) == ["7"]
                assert len(await found(each, "chunk", mode="vector", limit=100)) == 8
            await memory.forget(ANNAS)
            assert await found(other, "chunk") == []
            # The collection may be of another embedder now.
            await memory.chunks.upsert(ANNA, Chunk("x", "x", vector=[1, 2]))
            assert await found(other, "", vector=[1, 2], mode="vector") == ["x"]
            await memory.chunks.delete(ANNA, "x")


async def test_only_what_has_changed_is_read(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    arrived = _redis_chunks._arrived

    def seen(*row: bytes) -> _redis_chunks.Arrived:
        read.append(arrived(*row).id)
        return arrived(*row)

    monkeypatch.setattr(_redis_chunks, "_arrived", seen)
    async with two_memories(server) as (one, two):
        await one.chunks.upsert(ANNA, *numbered(*range(5)))
        await found(two, "chunk")
        assert read == ["0", "1", "2", "3", "4"]
        await found(two, "chunk")
        await one.chunks.upsert(ANNA, *numbered(3, 9))
        await one.chunks.delete(ANNA, "1")
        assert set(await found(two, "chunk")) == {"0", "2", "3", "4", "9"}
        assert read[5:] == ["3", "9"]
        # Of what others have there is none.
        await one.chunks.upsert(BEN, *numbered(1))
        await one.chunks.upsert(ANNA, *numbered(1), collection="other")
        await found(two, "chunk")
        assert len(read) == 7


async def test_who_has_not_looked_for_long_reads_all_anew(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_chunks, "WRITE", _redis_scripts.WRITE.replace("- 10000", "- 3"))
    async with two_memories(server) as (one, two):
        await one.chunks.upsert(ANNA, *numbered(*range(10)))
        for changed in (2, 3, 4, 9):
            await found(two, "chunk")
            await one.chunks.upsert(ANNA, *numbered(*range(changed)))
            gone = await one._server.call("ZCARD", "codin:memory:{acme/anna}:gone:default")
            assert gone <= 3
            for mode in ("vector", "text"):
                there = await found(two, "chunk", mode=mode, limit=100)
                assert sorted(there) == [str(number) for number in range(10)]


async def test_a_collection_is_read_in_parts(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = _redis_scripts.CHANGES.replace("bytes > 4000000", "bytes > 1000")
    assert parts != _redis_scripts.CHANGES
    monkeypatch.setattr(_redis_chunks, "CHANGES", parts)
    async with two_memories(server) as (one, two):
        await one.chunks.upsert(ANNA, *numbered(*range(40)))
        assert len(await found(two, "chunk", limit=100)) == 40

        async def write() -> None:
            for number in range(40, 60):
                await one.chunks.upsert(ANNA, *numbered(number, number - 40))
                await one.chunks.delete(ANNA, str(number - 20))

        writing = asyncio.create_task(write())
        while not writing.done():
            async with memory_at(server) as third:
                there = await found(third, "chunk", limit=100, mode="text")
                assert len(there) == len(set(there))
                assert len(there) in (40, 41)
        await writing
        assert len(await found(two, "chunk", limit=100)) == 40


async def test_searches_and_writes_at_once_see_whole_states(server: RedisServer) -> None:
    async with two_memories(server) as (writer, reader):
        await writer.chunks.upsert(ANNA, *numbered(*range(10)))

        async def write() -> None:
            for start in range(10, 200, 10):
                await writer.chunks.upsert(ANNA, *numbered(*range(start, start + 10)))
                await writer.chunks.delete(ANNA, *map(str, range(start - 10, start)))

        async def read() -> None:
            for mode in ("vector", "text", "hybrid") * 10:
                seen = {int(one) // 10 for one in await found(reader, "chunk", limit=50, mode=mode)}
                assert len(seen) in (1, 2)
                assert max(seen) - min(seen) <= 1

        await asyncio.gather(write(), *(read() for _ in range(3)))
        assert set(await found(reader, "chunk", limit=50)) == {str(n) for n in range(190, 200)}


ANOTHER = HashingEmbedder(32)


async def reembedded(memory: RedisMemory, scope: Scope | None, **options: Any) -> list[int]:
    memory.chunks.embedder = ANOTHER
    return [done async for done in memory.chunks.reembed(scope, **options)]


async def test_who_searches_while_texts_are_embedded_anew_sees_whole_states(
    server: RedisServer,
) -> None:
    async with two_memories(server) as (one, two):
        await one.chunks.upsert(ANNA, *numbered(*range(60)))
        assert len(await found(two, "chunk", limit=100)) == 60
        two.chunks.embedder = ANOTHER
        working = asyncio.create_task(reembedded(one, ANNAS, batch=5))
        near: list[int] = []
        while not working.done():
            assert len(set(await found(two, "chunk", mode="text", limit=100))) == 60
            vectors = await two._server.call("HLEN", "codin:memory:{acme/anna}:vectors:default")
            if near or vectors < 60:
                near.append(len(await found(two, "chunk", mode="vector", limit=100)))
        assert near == sorted(near)
        assert near[0] < 60
        assert (await working)[-1] == 60
        hits = await two.chunks.search(ANNAS, "chunk number7", mode="vector", limit=100)
        assert (hits[0].id, len(hits)) == ("7", 60)
        assert hits[0].score == pytest.approx(1)


async def test_of_all_users_only_that_collection_is_embedded_anew(server: RedisServer) -> None:
    users = [ANNAS, Scope("a*b[c", "\u00fc {x}"), Scope("", "")]
    # Whose keys look like those of others where one does not look closely.
    names = ["a?[b]*", "a?[b]*:about:", "ab", "x}:about:a?[b]*", "}:about:a?[b]*"]
    async with two_memories(server) as (memory, old):
        for user in users:
            for name in names:
                await memory.chunks.upsert(user, *numbered(1, 2), collection=name)
        assert (await reembedded(memory, None, collection=names[0]))[-1] == 2 * len(users)
        for user in users:
            hit = await memory.chunks.search(user, "chunk", mode="vector", collection=names[0])
            assert len(hit) == 2
            for name in names[1:]:
                assert len(await found(old, "chunk", user, mode="vector", collection=name)) == 2
        with pytest.raises(EmbeddingError, match="hashing-32"):
            await found(old, "chunk", mode="vector", collection=names[0])


async def test_texts_are_looked_through_in_parts_and_placed_as_they_were(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = _redis_reembedding.OUTDATED.replace("0, 5000", "0, 3").replace("== 5000", "== 3")
    assert parts.count("3)") > _redis_reembedding.OUTDATED.count("3)")
    monkeypatch.setattr(_redis_reembedding, "OUTDATED", parts)
    monkeypatch.setattr(_redis_reembedding, "_PLACED", 2)
    async with memory_at(server) as memory:
        await memory.chunks.upsert(ANNA, *numbered(*range(9)), ttl=1000)
        await memory.chunks.upsert(BEN, *numbered(1))
        ends = await memory._server.call("ZRANGE", EXPIRING, 0, -1, "WITHSCORES")
        memory.chunks.embedder = None
        await memory.chunks.upsert(ANNA, Chunk("without", "w"), Chunk("over", "o"))
        await memory.chunks.upsert(ANNA, Chunk("over", "o"), ttl=0.01)
        await asyncio.sleep(0.02)
        # Those that have a vector are before what has none.
        memory.chunks.embedder = HashingEmbedder()
        assert [done async for done in memory.chunks.reembed(ANNAS, batch=5)] == [1]
        assert await reembedded(memory, ANNAS, batch=4) == [4, 8, 10]
        assert len(await found(memory, "chunk", mode="vector", limit=50)) == 10
        scores = await memory._server.call("ZRANGE", EXPIRING, 0, -1, "WITHSCORES")
        assert scores[3::2] == ends[1::2]  # without the one that is over
        await memory.chunks.delete(ANNA, *map(str, range(9)), "w")
        assert (await memory.contents(BEN)).chunks == 1
        await memory.forget(ANNAS)
        assert await memory._server.call("KEYS", "*anna*") == []


EXPIRING = "codin:memory:{acme/anna}:expiring"


async def test_so_much_is_held_and_no_more(server: RedisServer) -> None:
    async with memory_at(server, cache_bytes=300_000) as memory:
        users = [Scope("acme", str(number)) for number in range(5)]
        for user in users:
            await memory.chunks.upsert(user, *numbered(*range(64)))
        for user in users * 2:
            assert (await found(memory, "number5", user))[0] == "5"
            held = memory._chunks._held.values()
            assert 1 <= len(held) < len(users)
            assert sum(one.size_bytes for one in held) <= 300_000
        long = [Chunk(f"word{n} " * 1000, str(n), vector=[1] * 64) for n in range(100)]
        await memory.chunks.upsert(users[0], *long)
        for _ in range(2):
            with pytest.raises(MemoryFailure, match=r"'default' is larger .*300,000 bytes.*raise"):
                await found(memory, "word7", users[0])
        await memory.chunks.delete(users[0], *map(str, range(1, 100)))
        assert await found(memory, "word0", users[0], mode="text") == ["0"]


async def test_nothing_is_left_of_what_is_forgotten(server: RedisServer) -> None:
    async with memory_at(server) as memory:
        await memory.chunks.upsert(BEN, *numbered(1))
        others = set(await memory._server.call("KEYS", "*"))
        for scope in (ANNA, Scope("acme", "anna", "writer", "s{2}:")):
            await memory.history.append(scope, said("secret"))
            await memory.notes.put(scope, "k", "secret", ttl=60)
            for name in ("default", "a: {b}\n"):
                await memory.chunks.upsert(scope, *numbered(1, 2), collection=name, ttl=60)
                await memory.chunks.upsert(scope, *numbered(2), collection=name)
        assert await memory.forget(Scope("acme", "anna", "writer")) == Contents(1, 1, 4)
        fields = await memory._server.call("HKEYS", "codin:memory:{acme/anna}:notes")
        assert [json.loads(field)[0] for field in fields] == ["analyst"]
        assert await memory.contents(ANNAS) == Contents(1, 1, 4)
        assert await memory.forget(ANNAS) == Contents(1, 1, 4)
        assert set(await memory._server.call("KEYS", "*")) == others


async def test_names_of_users_are_kept_apart(server: RedisServer) -> None:
    async with memory_at(server) as memory:
        scopes = [
            Scope("a", "b/c"),
            Scope("a/b", "c"),
            Scope("a}b", ""),
            Scope("", "a}b"),
            Scope("a%2Fb", "c"),
            Scope("*", "*"),
        ]
        for number, scope in enumerate(scopes):
            await memory.notes.put(scope, "k", number)
            await memory.chunks.upsert(scope, *numbered(number))
        for number, scope in enumerate(scopes):
            assert [note.value for note in await memory.notes.list(scope)] == [number]
            assert await found(memory, "chunk", scope) == [str(number)]
        for scope in (Scope("\ud800", "a"), Scope("a", "b\0")):
            with pytest.raises(InvalidInputError, match="scope's name"):
                await memory.notes.list(scope)


async def test_what_has_run_out_is_taken_out_by_the_next_write(server: RedisServer) -> None:
    async with memory_at(server) as memory:
        await memory.chunks.upsert(ANNA, *numbered(1), ttl=0.01)
        await memory.chunks.upsert(ANNA, *numbered(1, 2), collection="b c", ttl=0.01)
        await memory.chunks.upsert(ANNA, *numbered(2), collection="b c")
        await memory.notes.put(ANNA, "k", 1, ttl=0.01)
        await asyncio.sleep(0.05)
        await memory.chunks.upsert(ANNA, *numbered(7), collection="third")
        await memory.notes.put(ANNA, "other", 1)
        assert await memory.contents(ANNA) == Contents(notes=1, chunks=2)
        assert await found(memory, "chunk", collection="b c") == ["2"]


async def test_too_much_at_once_is_refused(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_redis_chunks, "_MOST_BYTES", 1000)
    async with memory_at(server) as memory:
        with pytest.raises(InvalidInputError, match="at most 1,000 in one call"):
            await memory.chunks.upsert(ANNA, *numbered(*range(20)))
        assert (await memory.contents(ANNA)).total == 0


async def test_a_server_that_goes_away_and_comes_back(tmp_path) -> None:
    with redis_server() as server:
        async with memory_at(server) as memory:
            await memory.chunks.upsert(ANNA, *numbered(1, 2))
            await memory.history.append(ANNA, said("kept"))
            assert len(await found(memory, "chunk")) == 2
            server.stop()
            for _ in range(2):
                for call in (memory.notes.put(ANNA, "k", 1), memory.chunks.search(ANNA, "chunk")):
                    with pytest.raises(MemoryFailure, match=r"the memory in Redis at /.*cannot be"):
                        await call
            server.start()
            assert len(await found(memory, "chunk")) == 2
            await memory.chunks.upsert(ANNA, *numbered(3))
            assert len(await found(memory, "chunk")) == 3
            assert await memory.contents(ANNA) == Contents(messages=1, chunks=3)


async def test_a_wrong_password_is_told_and_not_shown() -> None:
    with redis_server("--requirepass", "hunter2") as server:
        for password, why in (("", "Authentication|NOAUTH"), ("hunter3", "WRONGPASS|invalid")):
            async with RedisMemory(server.url(password=password)) as memory:
                with pytest.raises(MemoryFailure, match=why) as raised:
                    await memory.contents(ANNA)
                assert "hunter" not in str(raised.value)
        async with RedisMemory(server.url(password="hunter2")) as memory:
            assert (await memory.contents(ANNA)).total == 0


async def test_a_server_that_drops_keys_is_refused() -> None:
    options = ("--maxmemory", "100mb", "--maxmemory-policy")
    with redis_server(*options, "allkeys-lru") as server:
        async with memory_at(server) as memory:
            with pytest.raises(MemoryFailure, match=r"allkeys-lru.*noeviction"):
                await memory.notes.put(ANNA, "k", 1)


async def test_a_full_server_keeps_all_of_a_write_or_none() -> None:
    with redis_server("--maxmemory", "10mb", "--maxmemory-policy", "noeviction") as server:
        async with memory_at(server) as memory:
            kept = 0

            async def fill() -> None:
                nonlocal kept
                for number in range(100):
                    ids = (f"{number}-{each}" for each in range(50))
                    many = (Chunk("x" * 10_000, one, vector=[1, 2]) for one in ids)
                    await memory.chunks.upsert(ANNA, *many)
                    kept += 50

            with pytest.raises(MemoryFailure, match=r"when used memory > 'maxmemory'"):
                await fill()
            assert 0 < (await memory.contents(ANNA)).chunks == kept
            assert (await memory.forget(ANNA)).chunks == kept
            await memory.notes.put(ANNA, "k", 1)


@pytest.mark.parametrize(
    "url", ["redis://ann:hunter2@127.0.0.1:1/0", "unix:///nowhere", "http://ann:hunter2@x"]
)
async def test_a_server_that_is_not_there_is_said_without_its_password(url: str) -> None:
    async with RedisMemory(url) as memory:
        with pytest.raises(MemoryFailure, match=r"cannot be opened|address is none") as raised:
            await memory.contents(ANNA)
        assert "hunter2" not in str(raised.value)


async def test_without_a_client_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    async with RedisMemory("redis://127.0.0.1:1") as memory:
        with pytest.raises(MemoryFailure, match=r"pip install 'codin\[redis\]'"):
            await memory.contents(ANNA)


async def test_closed_is_closed(server: RedisServer) -> None:
    memory = memory_at(server)
    await memory.chunks.upsert(ANNA, *numbered(1))
    await memory.close()
    for call in (
        memory.chunks.upsert(ANNA, *numbered(2)),
        memory.chunks.search(ANNA, "chunk"),
        memory.forget(ANNA),
        memory.notes.get(ANNA, "k"),
        anext(memory.export(ANNA)),
    ):
        with pytest.raises(MemoryFailure, match="closed"):
            await call
