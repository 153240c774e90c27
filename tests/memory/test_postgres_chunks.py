"""What chunks in Postgres can do that others cannot, and what goes wrong there only."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np
import psycopg
import pytest

from codin.errors import InvalidInputError
from codin.memory import (
    Chunk,
    Contents,
    EmbeddingError,
    MemoryFailure,
    _postgres_chunks,
    _postgres_indexing,
    _postgres_nearest,
)
from codin.memory import _postgres_searching as searching
from codin.memory.postgres import PostgresMemory
from codin.security import Scope
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import ANNA, ANNAS, BEN, said
from codin.testing.postgres import PostgresServer, postgres_server

pytestmark = pytest.mark.slow

_NEAREST = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'memory_nearest%'"


def memory_at(url: str, dimension: int = 64) -> PostgresMemory:
    return PostgresMemory(url, embedder=HashingEmbedder(dimension))


def numbered(*numbers: int) -> list[Chunk]:
    return [Chunk(f"chunk number{number}", str(number)) for number in numbers]


async def found(memory: PostgresMemory, query: str, scope: Scope = ANNAS, **options) -> list[str]:
    return [one.id for one in await memory.chunks.search(scope, query, **options)]


async def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def memories(url: str, count: int = 2) -> AsyncIterator[list[PostgresMemory]]:
    """As many processes would have them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(memory_at(url)) for _ in range(count)]


async def test_several_may_make_the_tables_at_once_and_see_what_the_others_write(
    database: str,
) -> None:
    async with memories(database, 4) as several:
        writes = (
            memory.chunks.upsert(ANNA, *numbered(number), Chunk("shared", "one"))
            for number, memory in enumerate(several)
        )
        await asyncio.gather(*writes)
        for memory in several:
            assert set(await found(memory, "chunk", limit=50)) == {"one", "0", "1", "2", "3"}
        assert await several[0].chunks.delete(ANNA, "0", "one") == 2
        assert set(await found(several[1], "chunk", limit=50)) == {"1", "2", "3"}
        assert (await several[2].forget(ANNAS)).chunks == 3
        assert await found(several[3], "chunk") == []
        # The collection may be of another embedder now.
        await several[3].chunks.upsert(ANNA, Chunk("x", "x", vector=[1, 2]))
        assert await found(several[0], "", vector=[1, 2], mode="vector") == ["x"]


async def test_searches_and_writes_at_once_see_whole_states(database: str) -> None:
    async with memories(database) as (writer, reader):
        await writer.chunks.upsert(ANNA, *numbered(*range(10)))

        async def write() -> None:
            for start in range(10, 150, 10):
                await writer.chunks.upsert(ANNA, *numbered(*range(start, start + 10)))
                await writer.chunks.delete(ANNA, *map(str, range(start - 10, start)))

        async def read() -> None:
            for mode in ("vector", "text", "hybrid") * 10:
                seen = {int(one) // 10 for one in await found(reader, "chunk", limit=50, mode=mode)}
                assert len(seen) in (1, 2)
                assert max(seen) - min(seen) <= 1

        await asyncio.gather(write(), *(read() for _ in range(3)))
        assert set(await found(reader, "chunk", limit=50)) == {str(n) for n in range(140, 150)}


@pytest.fixture(scope="module")
def crowded(kept_database: str) -> str:
    """A database with two users' 1,000 chunks each, and an index of their vectors."""

    async def fill() -> None:
        numbers = np.random.default_rng(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_postgres_chunks, "MANY", 900)
            async with PostgresMemory(kept_database) as memory:
                for scope in (ANNA, BEN):
                    vectors = numbers.normal(size=(1000, 8))
                    chunks = [
                        Chunk(f"chunk number{n}", str(n), {"tenth": n % 10, "only": n}, vector)
                        for n, vector in enumerate(vectors)
                    ]
                    await memory.chunks.upsert(scope, *chunks)
                few = numbers.normal(size=(20, 8))
                narrow = Scope("acme", "anna", "writer")
                await memory.chunks.upsert(
                    narrow, *(Chunk("few", f"f{n}", vector=one) for n, one in enumerate(few))
                )

    asyncio.run(fill())
    return kept_database


async def test_many_vectors_have_an_index_that_finds_the_nearest(
    crowded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await execute(crowded, _NEAREST) == [("memory_nearest_8",)]
    async with PostgresMemory(crowded) as memory:
        options = {"mode": "vector", "limit": 10}
        exact: dict[tuple[int, ...], list[str]] = {}
        asked = [tuple(one) for one in np.random.default_rng(2).normal(size=(20, 8))]
        for wheres in ({}, {"tenth": 3}, {"tenth": [4, 5]}, {"only": 77}):
            monkeypatch.setattr(searching, "_HOPS", 10**9)  # all are compared
            for vector in asked:
                exact[vector] = await found(memory, "", vector=vector, where=wheres, **options)
                assert len(exact[vector]) == (1 if "only" in wheres else 10)
            monkeypatch.setattr(searching, "_HOPS", 0)  # the index is asked, whatever it costs
            shares = [
                len({*exact[vector]} & {*there}) / len(exact[vector])
                for vector in asked
                for there in [await found(memory, "", vector=vector, where=wheres, **options)]
            ]
            assert sum(shares) / len(shares) >= 0.97
        assert {
            one[0]
            for one in await found(
                memory,
                "",
                vector=asked[0],
                limit=20,
                mode="vector",
                scope=Scope("acme", "anna", "writer"),
            )
        } == {"f"}


async def test_an_index_that_gives_up_is_not_believed(
    crowded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_HOPS", 0)
    settings = (*_postgres_chunks._SETTINGS, "SET LOCAL hnsw.max_scan_tuples = 1")
    monkeypatch.setattr(_postgres_chunks, "_SETTINGS", settings)
    async with PostgresMemory(crowded) as memory:
        few = Scope("acme", "anna", "writer")
        there = await found(memory, "", few, vector=[1] * 8, mode="vector", limit=20)
        assert len(there) == 20


async def test_an_index_that_cannot_be_made_costs_no_write(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_postgres_chunks, "MANY", 3)
    async with memory_at(database) as memory:
        with monkeypatch.context() as patch:
            patch.setattr(_postgres_nearest, "_BUILD", "m = 1000")
            await memory.chunks.upsert(ANNA, *numbered(1, 2, 3, 4))
            await memory.chunks.finish()
        assert "64 numbers are searched without an index" in caplog.text
        assert len(await found(memory, "chunk")) == 4
        caplog.clear()
        await memory.chunks.upsert(ANNA, *numbered(5))
        await memory.chunks.finish()
        assert caplog.text == ""
        kinds = "SELECT indexdef FROM pg_indexes WHERE indexname = 'memory_nearest_64'"
        assert "hnsw" in (await execute(database, kinds))[0][0]


async def test_an_index_that_was_begun_and_not_finished_is_made_anew(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres_chunks, "MANY", 3)
    async with memory_at(database) as memory:
        await memory.chunks.upsert(ANNA, *numbered(1, 2))
        await execute(
            database,
            "CREATE INDEX memory_nearest_64 ON codin.memory_vector (seq)",
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'codin.memory_nearest_64'::regclass",
        )
        await memory.chunks.upsert(ANNA, *numbered(3))
        await memory.chunks.finish()
        kinds = "SELECT indexdef FROM pg_indexes WHERE indexname = 'memory_nearest_64'"
        assert "hnsw" in (await execute(database, kinds))[0][0]
        monkeypatch.setattr(searching, "_HOPS", 0)
        assert len(await found(memory, "chunk")) == 3


async def test_an_index_is_made_when_a_large_load_is_over(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres_chunks, "MANY", 3)
    monkeypatch.setattr(_postgres_indexing, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(_postgres_indexing, "_MANY", 5)
    async with memories(database) as (one, two):
        # Whoever writes: the other one is not at rest while this one is not.
        await two.chunks.upsert(ANNA, *numbered(*range(5)))
        until = time.monotonic() + 1.5
        count = 5
        while time.monotonic() < until:
            await one.chunks.upsert(ANNA, *numbered(*range(count, count + 20)))
            count += 20
            assert await execute(database, _NEAREST) == []
        while not await execute(database, f"{_NEAREST} AND indexdef LIKE '%hnsw%'"):
            assert time.monotonic() < until + 30
            await asyncio.sleep(0.05)
        assert (await one.chunks.search(ANNAS, "chunk number7", mode="vector"))[0].id == "7"


async def test_an_index_is_made_where_processes_share_little_memory(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres_chunks, "MANY", 3)
    workers: list[str] = []
    made = _postgres_nearest._anew

    async def anew(connection: psycopg.AsyncConnection, name: str, build: str) -> None:
        cursor = await connection.execute("SHOW max_parallel_maintenance_workers")
        workers.extend(await cursor.fetchone() or ())
        if workers[-1] != "0":
            raise psycopg.errors.DiskFull("could not resize shared memory segment")
        await made(connection, name, build)

    monkeypatch.setattr(_postgres_nearest, "_anew", anew)
    async with memory_at(database) as memory:
        await memory.chunks.upsert(ANNA, *numbered(1, 2, 3))
        await memory.chunks.finish()
        assert await execute(database, _NEAREST) == [("memory_nearest_64",)]
        assert len(workers) == 2
        # Others have the connection afterwards, as it was.
        async with asyncio.TaskGroup() as group:
            settings = [
                group.create_task(memory._tables.rows("SHOW max_parallel_maintenance_workers"))
                for _ in range(8)
            ]
        assert {one.result()[0][0] for one in settings} == {workers[0]}


async def test_vectors_beside_none_are_of_their_own_chunks(database: str) -> None:
    async with PostgresMemory(database) as memory:
        vectors = {"0": None, "1": [3.0, 4.0], "2": None, "3": [-1.0, 1e-7]}
        await memory.chunks.upsert(
            ANNA, *(Chunk(f"text {n}", n, vector=one) for n, one in vectors.items())
        )
        kept = (
            "SELECT id, vector::text FROM codin.memory_vector JOIN codin.memory_chunk USING (seq)"
        )
        assert await execute(database, f"{kept} ORDER BY id") == [
            ("1", "[0.6,0.8]"),
            ("3", "[-1,1e-07]"),
        ]


async def test_nobody_waits_for_an_index_that_somebody_else_makes(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres_chunks, "MANY", 1)
    async with memories(database) as (one, two):
        await one.notes.put(ANNA, "k", 1)
        lock = f"SELECT pg_advisory_lock({_postgres_nearest._LOCK})"
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as other:
            await other.execute(lock.encode())
            await one.chunks.upsert(ANNA, *numbered(1))
            await one.chunks.finish()
            assert await execute(database, _NEAREST) == []
        await two.chunks.upsert(ANNA, *numbered(2))
        await two.chunks.finish()
        assert await execute(database, _NEAREST) == [("memory_nearest_64",)]
        assert set(await found(one, "chunk")) == {"1", "2"}


async def test_words_are_counted_as_they_come_and_go(database: str) -> None:
    words = "SELECT word, chunks FROM codin.memory_word ORDER BY word"
    counts = "SELECT held, vectors, length FROM codin.memory_collection"
    async with PostgresMemory(database) as memory:
        await memory.chunks.upsert(ANNA, Chunk("roofs roof", "1"), Chunk("a leaking roof", "2"))
        mark = (await execute(database, "SELECT number FROM codin.memory_collection"))[0][0]

        async def counted() -> dict[str, int]:
            rows = await execute(database, words)
            return {word.removeprefix(f"{mark}x"): chunks for word, chunks in rows}

        assert await counted() == {"a": 1, "leak": 1, "roof": 2}
        assert await execute(database, counts) == [(2, 0, 5)]
        await memory.chunks.upsert(ANNA, Chunk("leaks", "1", vector=[1, 2]))
        assert await counted() == {"a": 1, "leak": 2, "roof": 1}
        assert await execute(database, counts) == [(2, 1, 4)]
        await memory.chunks.delete(ANNA, "2")
        assert await counted() == {"leak": 1}
        await memory.chunks.upsert(ANNAS, Chunk("wide", "3"), ttl=0.01)
        await memory.forget(ANNA)
        assert await counted() == {"wide": 1}
        await asyncio.sleep(0.02)
        await memory.chunks.upsert(BEN, Chunk("else", "4"))
        assert (await memory.contents(ANNAS)).chunks == 0
        await memory.forget(ANNAS)
        await memory.forget(BEN)
        assert await counted() == {}
        assert await execute(database, counts) == []


async def test_how_often_a_word_is_there_counts_as_bm25_has_it(database: str) -> None:
    texts = {
        "once": "roof and five other words here",
        "often": "roof roof roof of two words",
        "long": " ".join(["roof", *(f"w{number}" for number in range(60))]),
        "no": "nothing",
    }
    async with PostgresMemory(database) as memory:
        await memory.chunks.upsert(ANNA, *(Chunk(text, name) for name, text in texts.items()))
        hits = await memory.chunks.search(ANNA, "roof", mode="text")
        scores = {one.id: one.score for one in hits}
    usual = sum(len(text.split()) for text in texts.values()) / len(texts)
    rare = np.log(1 + (4 - 3 + 0.5) / (3 + 0.5))
    for name in ("often", "once", "long"):
        times, length = texts[name].split().count("roof"), len(texts[name].split())
        wanted = rare * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / usual))
        assert scores[name] == pytest.approx(wanted, rel=1e-3)
    assert list(scores) == ["often", "once", "long"]


async def test_too_common_words_count_only_beside_rarer_ones(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_WORD_ROWS", 20)
    async with PostgresMemory(database) as memory:
        await memory.chunks.upsert(ANNA, *numbered(*range(30)))
        assert await found(memory, "chunk number7 unknown", mode="text") == ["7"]
        assert len(await found(memory, "chunk", mode="text", limit=50)) == 30
        assert await found(memory, "number7 number8 chunk", mode="text") == ["7", "8"]


async def test_a_text_of_very_many_words_is_kept(database: str) -> None:
    async with PostgresMemory(database) as memory:
        many = " ".join(chr(0x4E00 + n % 20_000) + chr(0x61 + n % 26) for n in range(33_000))
        await memory.chunks.upsert(ANNA, Chunk(many[:100_000], "1"), Chunk("x" * 100_000, "2"))
        assert await found(memory, many[:2], mode="text") == ["1"]
        assert (await memory.contents(ANNA)).chunks == 2


@pytest.mark.parametrize("dimension", [2000, 3072, 5000])
async def test_large_vectors_are_found(
    database: str, dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres_chunks, "MANY", 5)
    monkeypatch.setattr(searching, "_HOPS", 0)
    vectors = np.random.default_rng(1).normal(size=(20, dimension))
    async with PostgresMemory(database) as memory:
        for _ in range(2):
            chunks = (Chunk("x", str(n), vector=one) for n, one in enumerate(vectors))
            await memory.chunks.upsert(ANNA, *chunks)
        await memory.chunks.finish()
        hits = await memory.chunks.search(ANNA, vector=vectors[7], mode="vector", limit=20)
        assert (hits[0].id, len(hits)) == ("7", 20)
        assert hits[0].score == pytest.approx(1, abs=1e-5)
        with pytest.raises(EmbeddingError, match="at most 16,000 numbers, and not of 16,001"):
            await memory.chunks.upsert(BEN, Chunk("x", vector=[1.0] * 16_001))


async def test_what_postgres_cannot_hold_is_told(database: str) -> None:
    async with PostgresMemory(database) as memory:
        for scope in (Scope("a\0", "b", session="s"), Scope("a", "\ud800", session="s")):
            for call in (
                memory.history.append(scope, said("x")),
                memory.notes.list(scope),
                memory.chunks.search(scope, "x", mode="text"),
                memory.forget(scope),
            ):
                with pytest.raises(InvalidInputError, match="scope's name"):
                    await call
        with pytest.raises(InvalidInputError, match="a message's text has a character"):
            await memory.history.append(ANNA, said("a\0b"))
        with pytest.raises(InvalidInputError, match="at most 600 bytes together"):
            await memory.notes.put(Scope("acme", "ü" * 301), "k", 1)
        key = "\U0001f600" * 512
        await memory.notes.put(Scope("acme", "ü" * 290), key, 1)
        await memory.chunks.upsert(ANNA, Chunk("x", key), collection=key)
        assert await memory.contents(ANNA) == Contents(chunks=1)


@pytest.fixture
def plain_role(postgres: PostgresServer, database: str) -> Iterator[str]:
    """The address of ``database`` for a role that may do nothing of its own there."""
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    postgres.execute("CREATE ROLE plain LOGIN PASSWORD 'hunter2'")
    postgres.execute(f"GRANT CREATE ON DATABASE {name} TO plain")
    try:
        yield psycopg.conninfo.make_conninfo(database, user="plain", password="hunter2")
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP OWNED BY plain")
        postgres.execute("DROP ROLE plain")


async def test_a_missing_extension_is_told_with_what_to_do(plain_role: str, database: str) -> None:
    await execute(database, "DROP SCHEMA public")
    memory = memory_at(plain_role)
    with pytest.raises(MemoryFailure, match=r"needs the extension vector .*public.*: install pgv"):
        await memory.notes.put(ANNA, "k", 1)
    # In whichever schema its administrator makes it.
    await execute(
        database,
        'CREATE SCHEMA "Own"',
        'CREATE EXTENSION vector SCHEMA "Own"',
        'GRANT USAGE ON SCHEMA "Own" TO PUBLIC',
    )
    await memory.chunks.upsert(ANNA, *numbered(1))
    assert await found(memory, "number1") == ["1"]
    await memory.close()


async def test_an_old_extension_is_told(database: str) -> None:
    await execute(
        database,
        "CREATE EXTENSION vector",
        "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'",
    )
    async with memory_at(database) as memory:
        with pytest.raises(MemoryFailure, match=r"0\.8 or newer, and this is 0\.7\.4"):
            await memory.contents(ANNA)


@pytest.mark.parametrize("url", ["postgresql://ann:hunter2@127.0.0.1:1/nowhere", "no url at all"])
async def test_a_server_that_is_not_there_is_said_without_its_password(url: str) -> None:
    async with memory_at(url) as memory:
        with pytest.raises(MemoryFailure, match="cannot be opened") as raised:
            await memory.contents(ANNA)
        assert "hunter2" not in str(raised.value)


async def test_a_newer_database_is_refused(database: str) -> None:
    async with memory_at(database) as memory:
        await memory.contents(ANNA)
    await execute(database, "UPDATE codin.schema_version SET version = 99")
    async with memory_at(database) as memory:
        with pytest.raises(MemoryFailure, match="newer codin"):
            await memory.contents(ANNA)


async def test_a_server_that_restarts_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codin.database.postgres._WAIT_SECONDS", 1.0)
    with postgres_server() as server, server.database() as url:
        async with memory_at(url) as memory:
            await memory.chunks.upsert(ANNA, *numbered(1))
            server.stop()
            with pytest.raises(MemoryFailure, match=r"^the memory in .* cannot be used"):
                async with asyncio.timeout(60):
                    await memory.chunks.upsert(ANNA, *numbered(2))
            server.start()
            began = time.monotonic()
            while True:
                try:
                    await memory.chunks.upsert(ANNA, *numbered(3))
                    break
                except MemoryFailure:
                    assert time.monotonic() - began < 60
            assert set(await found(memory, "chunk")) >= {"1", "3"}


async def test_closed_is_closed(database: str) -> None:
    memory = memory_at(database)
    await memory.chunks.upsert(ANNA, *numbered(1))
    await memory.close()
    for call in (
        memory.chunks.upsert(ANNA, *numbered(2)),
        memory.chunks.delete(ANNA, "1"),
        memory.chunks.search(ANNA, "chunk"),
        memory.forget(ANNA),
        memory.contents(ANNA),
        anext(memory.export(ANNA)),
    ):
        with pytest.raises(MemoryFailure, match="closed"):
            await call
