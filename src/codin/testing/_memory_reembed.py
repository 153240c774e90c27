"""How every memory's texts get vectors of another embedder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from codin.errors import InvalidInputError
from codin.memory.base import Chunk, EmbeddingError, MemorySystem, ScopeError
from codin.security import Scope
from codin.testing._memory_base import ANNA, ANNAS, BEN, OTHER_TENANT, MemoryChecks
from codin.testing.hashing_embedder import HashingEmbedder

ANOTHER = HashingEmbedder(32)
BENS = Scope("acme", "ben")


class _Breaking(HashingEmbedder):
    """Says where some texts are, and then nothing any more."""

    def __init__(self, dimension: int, calls: int) -> None:
        super().__init__(dimension)
        self.left = calls

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the embedder is gone")
        return await super().embed(texts, query=query)


class ReembedConformance(MemoryChecks):
    """The checks of ``memory.chunks.reembed``."""

    async def all_of(
        self, memory: MemorySystem, scope: Scope | None, *, batch: int = 2, **more: Any
    ) -> list[int]:
        """What a whole run of it gives."""
        return [done async for done in memory.chunks.reembed(scope, batch=batch, **more)]

    async def nearest(self, memory: MemorySystem, scope: Scope, query: str) -> list[str]:
        """The texts that are nearest to ``query``."""
        return [one.text for one in await memory.chunks.search(scope, query, mode="vector")]

    async def test_texts_get_vectors_of_the_new_embedder(self, memory: MemorySystem) -> None:
        chunks = [Chunk(f"text number {n}", str(n), {"n": n}) for n in range(5)]
        await memory.chunks.upsert(ANNA, *chunks, ttl=1000)
        before = {one.id: one for one in await memory.chunks.search(ANNA, "text", mode="text")}
        assert len(await self.nearest(memory, ANNA, "number 3")) == 5
        memory.chunks.embedder = ANOTHER
        with pytest.raises(EmbeddingError):
            await self.nearest(memory, ANNA, "number 3")
        assert await self.all_of(memory, ANNAS) == [2, 4, 5]
        found = await memory.chunks.search(ANNA, "text number 3", mode="vector")
        assert (found[0].id, len(found)) == ("3", 5)
        assert found[0].score > 0.99
        # All else is as it was.
        for one in await memory.chunks.search(ANNA, "text", mode="text"):
            kept = before[one.id]
            assert (one.text, one.metadata, one.scope) == (kept.text, kept.metadata, kept.scope)
            assert (one.updated, one.expires) == (kept.updated, kept.expires)
        tagged = await memory.chunks.search(ANNA, "text", mode="vector", where={"n": 4})
        assert [one.id for one in tagged] == ["4"]
        assert (await memory.contents(ANNA)).chunks == 5
        assert await self.all_of(memory, ANNAS) == []

    async def test_only_whose_it_is_and_only_that_collection(self, memory: MemorySystem) -> None:
        for scope in (ANNA, BEN, OTHER_TENANT):
            await memory.chunks.upsert(scope, Chunk("one"))
        await memory.chunks.upsert(ANNA, Chunk("other"), collection="other")
        old, memory.chunks.embedder = memory.chunks.embedder, ANOTHER
        assert await self.all_of(memory, BENS) == [1]
        memory.chunks.embedder = old
        assert await self.nearest(memory, ANNA, "one") == ["one"]
        assert await memory.chunks.search(ANNA, "other", mode="vector", collection="other")
        memory.chunks.embedder = ANOTHER
        assert await self.all_of(memory, None, batch=10) == [2]
        assert await self.nearest(memory, OTHER_TENANT, "one") == ["one"]
        assert await self.nearest(memory, BEN, "one") == ["one"]
        with pytest.raises(EmbeddingError):
            await memory.chunks.search(ANNA, "other", mode="vector", collection="other")

    async def test_broken_off_it_goes_on_where_it_was(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA, *(Chunk(f"text number {n}", str(n)) for n in range(6)))
        memory.chunks.embedder = _Breaking(32, 2)
        with pytest.raises(RuntimeError, match="gone"):
            await self.all_of(memory, ANNAS)
        memory.chunks.embedder = ANOTHER
        # What has no vector yet is found by its words.
        assert len(await self.nearest(memory, ANNA, "number 1")) == 2
        assert len(await memory.chunks.search(ANNA, "text number")) == 6
        assert await self.all_of(memory, ANNAS) == [2, 4]
        assert len(await self.nearest(memory, ANNA, "number 1")) == 6

    async def test_what_is_written_meanwhile_stays(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA, *(Chunk(f"old {n}", str(n)) for n in range(4)))
        memory.chunks.embedder = ANOTHER
        async for done in memory.chunks.reembed(ANNAS, batch=1):
            if done == 1:
                await memory.chunks.upsert(ANNA, Chunk("new", "3"), Chunk("newer", "4"))
                await memory.chunks.delete(ANNA, "2")
        texts = sorted(await self.nearest(memory, ANNA, "old"))
        assert texts == ["new", "newer", "old 0", "old 1"]

    async def test_two_at_once_do_it_once(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA, *(Chunk(f"text {n}", str(n)) for n in range(6)))
        memory.chunks.embedder = ANOTHER
        await asyncio.gather(self.all_of(memory, ANNAS), self.all_of(memory, ANNAS))
        assert len(await self.nearest(memory, ANNA, "text")) == 6
        assert (await memory.contents(ANNA)).chunks == 6

    async def test_another_embedder_meanwhile_ends_it(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA, *(Chunk(f"text {n}", str(n)) for n in range(4)))
        memory.chunks.embedder = ANOTHER
        running = aiter(memory.chunks.reembed(ANNAS, batch=1))
        assert await anext(running) == 1
        memory.chunks.embedder = HashingEmbedder(16)
        assert await self.all_of(memory, ANNAS) == [2, 4]
        with pytest.raises(EmbeddingError, match="hashing-16"):
            await anext(running)
        assert len(await self.nearest(memory, ANNA, "text")) == 4

    async def test_one_can_go_back(self, memory: MemorySystem) -> None:
        old = memory.chunks.embedder
        await memory.chunks.upsert(ANNA, *(Chunk(f"text {n}", str(n)) for n in range(3)))
        assert len(await self.nearest(memory, ANNA, "text 1")) == 3
        for embedder in (ANOTHER, old):
            memory.chunks.embedder = embedder
            assert await self.all_of(memory, ANNAS) == [2, 3]
            found = await memory.chunks.search(ANNA, "text 1", mode="vector")
            assert (found[0].text, len(found)) == ("text 1", 3)

    async def test_what_it_cannot_do_is_said(self, memory: MemorySystem) -> None:
        with pytest.raises(ScopeError, match="without them"):
            await self.all_of(memory, ANNA)
        with pytest.raises(InvalidInputError, match="1 to 512"):
            await self.all_of(memory, ANNAS, collection="")
        assert await self.all_of(memory, ANNAS, collection="unknown") == []
        memory.chunks.embedder = None
        with pytest.raises(InvalidInputError, match="no embedder"):
            await self.all_of(memory, ANNAS)
