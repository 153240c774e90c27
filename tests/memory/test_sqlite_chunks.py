"""What chunks in a file can do that others cannot, and what goes wrong there only."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from codin.errors import InvalidInputError
from codin.memory import Chunk, Contents, EmbeddingError, MemoryFailure, SQLiteMemory
from codin.memory._sqlite_searching import Search
from codin.security import Scope
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import ANNA, ANNAS, BEN, said

OLD = """
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
    id TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, task_id TEXT,
    time REAL NOT NULL, body TEXT,
    UNIQUE (tenant, user, agent, session, id)
);
CREATE INDEX message_session ON message (tenant, user, session, seq);
CREATE TABLE note (
    tenant TEXT NOT NULL, user TEXT NOT NULL, agent TEXT NOT NULL, session TEXT NOT NULL,
    key TEXT NOT NULL, value TEXT NOT NULL, updated REAL NOT NULL,
    PRIMARY KEY (tenant, user, agent, session, key)
) WITHOUT ROWID;
INSERT INTO message VALUES
    (1, 'acme', 'anna', 'analyst', 's1', 'm', 'user', 'old', NULL, 5.0, NULL);
INSERT INTO note VALUES ('acme', 'anna', 'analyst', 's1', 'k', '[1]', 5.0);
PRAGMA user_version = 1;
"""


def memory_at(path: Path, dimension: int = 64, **options: int) -> SQLiteMemory:
    return SQLiteMemory(path, embedder=HashingEmbedder(dimension), **options)


async def found(memory: SQLiteMemory, query: str, scope: Scope = ANNAS, **options) -> list[str]:
    return [one.id for one in await memory.chunks.search(scope, query, **options)]


def numbered(*numbers: int) -> list[Chunk]:
    return [Chunk(f"chunk number{number}", str(number)) for number in numbers]


async def test_a_file_of_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    connection = sqlite3.connect(path)
    connection.executescript(OLD)
    connection.close()
    async with memory_at(path) as memory:
        assert [message.text for message in await memory.history.list(ANNAS)] == ["old"]
        [note] = await memory.notes.list(ANNAS)
        assert (note.value, note.updated, note.expires) == ([1], 5.0, None)
        await memory.notes.put(ANNA, "k", 2, ttl=60)
        await memory.chunks.upsert(ANNA, *numbered(1))
        assert await memory.contents(ANNAS) == Contents(1, 1, 1)


async def test_chunks_are_there_after_a_restart_with_their_embedder(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with memory_at(path) as memory:
        await memory.chunks.upsert(ANNA, *numbered(1, 2))
    async with memory_at(path) as memory:
        assert (await found(memory, "number2"))[0] == "2"
        assert await found(memory, "number2", mode="text") == ["2"]
    async with memory_at(path, dimension=32) as memory:
        with pytest.raises(EmbeddingError, match="of 64 numbers by 'hashing-64', and not of 32"):
            await found(memory, "number2")
        with pytest.raises(EmbeddingError, match="another collection"):
            await memory.chunks.upsert(ANNA, *numbered(3))
        assert await found(memory, "number2", mode="text") == ["2"]


async def test_without_an_embedder_words_are_found_and_vectors_have_to_be_given(
    tmp_path: Path,
) -> None:
    async with SQLiteMemory(tmp_path / "memory.db") as memory:
        await memory.chunks.upsert(ANNA, *numbered(1, 2))
        assert await found(memory, "number2", mode="text") == ["2"]
        for mode in ("vector", "hybrid"):
            with pytest.raises(InvalidInputError, match="needs a vector, or a memory with an emb"):
                await found(memory, "number2", mode=mode)
        assert await found(memory, "number2", vector=[1, 2]) == ["2"]
        await memory.chunks.upsert(ANNA, Chunk("placed", "p", vector=[1, 0]))
        assert await found(memory, "number2", vector=[1, 2]) == ["p", "2"]
        with pytest.raises(EmbeddingError, match="2 numbers by 'given', and not of 3"):
            await found(memory, "", vector=[1, 2, 3], mode="vector")


async def test_what_others_write_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    async with memory_at(path) as one, memory_at(path) as two:
        for memory, other in ((one, two), (two, one)) * 3:
            await memory.chunks.upsert(ANNA, *numbered(*range(50)))
            everything = {str(number) for number in range(50)}
            assert set(await found(other, "chunk", mode="vector", limit=100)) == everything
            await memory.chunks.delete(ANNA, *map(str, range(45)))
            await memory.chunks.upsert(ANNA, *numbered(60))
            left = {"45", "46", "47", "48", "49", "60"}
            for each in (memory, other):
                assert set(await found(each, "chunk", mode="vector", limit=100)) == left
            await memory.forget(ANNAS)
            assert await found(other, "chunk") == []
            # The collection is another one now, with vectors of another size.
            await memory.chunks.upsert(ANNA, Chunk("x", "x", vector=[1, 2]))
            assert await found(other, "", vector=[1, 2], mode="vector") == ["x"]
            await memory.chunks.delete(ANNA, "x")


async def test_searches_and_writes_at_once_see_whole_states(tmp_path: Path) -> None:
    async with memory_at(tmp_path / "memory.db") as memory:
        await memory.chunks.upsert(ANNA, *numbered(*range(10)))

        async def write() -> None:
            for start in range(10, 200, 10):
                ids = [str(number) for number in range(start - 10, start)]
                await memory.chunks.upsert(ANNA, *numbered(*range(start, start + 10)))
                await memory.chunks.delete(ANNA, *ids)

        async def read() -> None:
            for mode in ("vector", "text", "hybrid") * 20:
                seen = {int(one) // 10 for one in await found(memory, "chunk", limit=50, mode=mode)}
                assert len(seen) in (1, 2)
                assert max(seen) - min(seen) <= 1

        await asyncio.gather(write(), *(read() for _ in range(4)))
        assert set(await found(memory, "chunk", limit=50)) == {str(n) for n in range(190, 200)}


@pytest.mark.parametrize("cache_bytes", [0, 8 * 4 * 4999])
async def test_what_is_too_large_to_be_held_is_found_too(tmp_path: Path, cache_bytes: int) -> None:
    path = tmp_path / "memory.db"
    random = np.random.default_rng(1)
    vectors = random.normal(size=(5000, 8)).tolist()
    chunks = [Chunk("x", str(n), vector=vector) for n, vector in enumerate(vectors)]
    async with memory_at(path) as memory:
        for scope in (ANNA, BEN):
            await memory.chunks.upsert(scope, *chunks)
    async with memory_at(path) as large, memory_at(path, cache_bytes=cache_bytes) as small:
        for scope in (ANNA, ANNAS, Scope("acme", "anna", "nobody")):
            for vector in random.normal(size=(5, 8)).tolist():
                options = {"scope": scope, "vector": vector, "mode": "vector", "limit": 7}
                these = await small.chunks.search(**options)
                those = await large.chunks.search(**options)
                assert [one.id for one in these] == [one.id for one in those]
                assert len(these) == (0 if scope.agent == "nobody" else 7)
        assert not small._chunks._held._held
        assert len(large._chunks._held._held) == 1


async def test_so_many_vectors_are_held_and_no_more(tmp_path: Path) -> None:
    most = 3 * 64 * 4 * 100
    async with memory_at(tmp_path / "memory.db", cache_bytes=most) as memory:
        users = [Scope("acme", str(number)) for number in range(6)]
        for user in users:
            await memory.chunks.upsert(user, *numbered(*range(64)))
        for user in users * 2:
            assert await found(memory, "number5", user, mode="text") == ["5"]
            assert (await found(memory, "number5", user))[0] == "5"
            held = memory._chunks._held._held.values()
            assert 1 <= len(held) < len(users)
            assert sum(one.matrix.size_bytes for one in held) <= most
        await memory.forget(users[0])
        assert not memory._chunks._held._held


async def test_what_is_forgotten_is_in_none_of_the_files(tmp_path: Path) -> None:
    words = ("hushhush", "confidential", "wordofold")

    def kept() -> set[str]:
        text = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        return {word for word in words if word.encode() in text}

    path = tmp_path / "memory.db"
    async with memory_at(path) as memory:
        for number in range(50):
            await memory.history.append(ANNA, said(f"hushhush {number}"))
            await memory.notes.put(ANNA, str(number), ["confidential"] * number)
            await memory.chunks.upsert(
                ANNA, Chunk(f"wordofold {number}", str(number), {"k": "hushhush"})
            )
            await memory.chunks.upsert(BEN, Chunk(f"something else {number}", str(number)))
        await memory.chunks.delete(ANNA, "3", "4")
        assert kept() == set(words)
        assert (await memory.forget(ANNAS)).total == 148
        assert kept() == set()
        assert len(await found(memory, "something", BEN)) == 10
    assert kept() == set()


async def test_common_words_are_left_out_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Search.__module__], "_WORD_ROWS", 20)
    async with memory_at(tmp_path / "memory.db") as memory:
        await memory.chunks.upsert(ANNA, *numbered(*range(30)))
        assert await found(memory, "chunk number7 unknown", mode="text") == ["7"]
        assert len(await found(memory, "chunk", mode="text", limit=50)) == 30
        assert await found(memory, "number7 number8 chunk", mode="text") == ["7", "8"]


async def test_what_the_embedder_gives_is_looked_at(tmp_path: Path) -> None:
    class Broken(HashingEmbedder):
        given: object = []

        async def embed(self, texts, *, query=False):
            if isinstance(self.given, Exception):
                raise self.given
            return self.given

    embedder = Broken()
    async with SQLiteMemory(tmp_path / "memory.db", embedder=embedder) as memory:
        for given, why in (
            ([], "'hashing-64' gave 0 vectors for 1 texts"),
            ([[float("nan")]], "'hashing-64': .* NaN"),
            ([[0.0, 0.0]], "zero"),
            ([0.5], "numbers"),
        ):
            embedder.given = given
            with pytest.raises(EmbeddingError, match=why):
                await memory.chunks.upsert(ANNA, *numbered(1))
            with pytest.raises(EmbeddingError, match=why):
                await memory.chunks.search(ANNA, "chunk")
        embedder.given = OSError("away")
        with pytest.raises(OSError, match="away"):
            await memory.chunks.upsert(ANNA, *numbered(1))
        assert (await memory.contents(ANNAS)).total == 0


async def test_without_numpy_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    async with SQLiteMemory(tmp_path / "memory.db") as memory:
        await memory.chunks.upsert(ANNA, *numbered(1))
        assert await found(memory, "number1", mode="text") == ["1"]
        with pytest.raises(MemoryFailure, match=r"pip install 'codin\[memory\]'"):
            await memory.chunks.upsert(ANNA, Chunk("x", vector=[1, 2]))


async def test_a_closed_file_is_told(tmp_path: Path) -> None:
    memory = memory_at(tmp_path / "memory.db")
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
