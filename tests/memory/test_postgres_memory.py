"""Memory in Postgres, by the suite of all memories."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from codin.memory import MemorySystem
from codin.memory.postgres import PostgresMemory
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import MemoryConformance, ReembedConformance

pytestmark = pytest.mark.slow

TABLES = ("message", "note", "collection", "chunk", "vector", "word")


class TestPostgresMemory(MemoryConformance, ReembedConformance):
    @pytest.fixture
    async def memory(self, kept_database: str) -> AsyncIterator[MemorySystem]:
        async with PostgresMemory(kept_database, embedder=HashingEmbedder()) as memory:
            yield memory
        tables = ", ".join(f"codin.memory_{name}" for name in TABLES)
        # Much faster than a database for each, whose tables would be made anew.
        connect = psycopg.AsyncConnection.connect(kept_database, autocommit=True)
        async with await connect as connection:
            await connection.execute(f"TRUNCATE {tables}".encode())
