"""Both memories, by the same suite, and what only a file can do."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codin.memory import InMemoryMemory, MemoryFailure, MemorySystem, SQLiteMemory
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import (
    ANNA,
    MemoryConformance,
    ReembedConformance,
    said,
)


class TestInMemoryMemory(MemoryConformance, ReembedConformance):
    @pytest.fixture
    def memory(self) -> MemorySystem:
        return InMemoryMemory(embedder=HashingEmbedder())


class TestSQLiteMemory(MemoryConformance, ReembedConformance):
    @pytest.fixture
    async def memory(self, tmp_path: Path) -> AsyncIterator[MemorySystem]:
        path = tmp_path / "new" / "memory.db"
        async with SQLiteMemory(path, embedder=HashingEmbedder()) as memory:
            yield memory

    async def test_it_is_there_after_a_restart(self, tmp_path: Path) -> None:
        path = tmp_path / "memory.db"
        async with SQLiteMemory(path) as memory:
            await memory.history.append(ANNA, said("kept"))
            await memory.notes.put(ANNA, "k", [1])
        async with SQLiteMemory(path) as memory:
            assert await self.texts(memory, ANNA) == ["kept"]
            assert [note.value for note in await memory.notes.list(ANNA)] == [[1]]

    async def test_two_processes_share_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "memory.db"
        async with SQLiteMemory(path) as one, SQLiteMemory(path) as two:
            for n in range(10):
                await asyncio.gather(
                    one.history.append(ANNA, said(f"a{n}")), two.history.append(ANNA, said(f"b{n}"))
                )
            assert len(await one.history.list(ANNA)) == 20

    async def test_several_may_make_the_file_at_once(self, tmp_path: Path) -> None:
        for number in range(8):
            memories = [SQLiteMemory(tmp_path / f"{number}.db") for _ in range(4)]
            puts = [memory.notes.put(ANNA, str(n), n) for n, memory in enumerate(memories)]
            await asyncio.gather(*puts)
            assert len(await memories[0].notes.list(ANNA)) == 4
            for memory in memories:
                await memory.close()

    async def test_nobody_else_can_read_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "memory.db"
        async with SQLiteMemory(path) as memory:
            await memory.notes.put(ANNA, "k", 1)
            for file in tmp_path.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    async def test_a_newer_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "memory.db"
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        async with SQLiteMemory(path) as memory:
            with pytest.raises(MemoryFailure, match=r"newer codin \(schema 99"):
                await memory.notes.list(ANNA)

    async def test_a_file_that_is_no_database_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "memory.db"
        path.write_bytes(b"not a database" * 100)
        async with SQLiteMemory(path) as memory:
            with pytest.raises(MemoryFailure, match=r"memory\.db cannot be opened"):
                await memory.history.list(ANNA)

    async def test_closed_is_closed(self, tmp_path: Path) -> None:
        memory = SQLiteMemory(tmp_path / "memory.db")
        await memory.close()
        with pytest.raises(MemoryFailure, match="closed"):
            await memory.history.list(ANNA)

    async def test_the_loop_is_never_blocked(self, tmp_path: Path) -> None:
        path = tmp_path / "memory.db"
        async with SQLiteMemory(path) as memory:
            await memory.notes.put(ANNA, "k", 1)
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(memory.notes.put(ANNA, "k", 2))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            other.execute("ROLLBACK")
            other.close()
            assert (await waiting).value == 2
