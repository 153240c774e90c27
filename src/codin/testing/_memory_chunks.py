"""How every memory has to keep chunks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codin.errors import InvalidInputError
from codin.memory.base import Chunk, EmbeddingError, FoundChunk, MemorySystem
from codin.memory.chunks import MAX_UPSERT
from codin.security import Scope
from codin.testing._memory_base import ANNA, ANNAS, BEN, OTHER_TENANT, MemoryChecks, over

NAN, INFINITE = float("nan"), float("inf")


async def by_id(memory: MemorySystem, scope: Scope, **options: Any) -> dict[str, FoundChunk]:
    """All chunks within ``scope`` that have a vector of three numbers, by their ids."""
    found = await memory.chunks.search(
        scope, vector=[1, 1, 1], mode="vector", limit=1000, **options
    )
    return {chunk.id: chunk for chunk in found}


def placed(chunk_id: str, *vector: float, **metadata: Any) -> Chunk:
    """A chunk at a place of its own."""
    return Chunk(f"text of {chunk_id}", chunk_id, metadata, vector or (1, 2, 3))


class ChunkConformance(MemoryChecks):
    """The checks of keeping, replacing and deleting chunks."""

    async def test_a_chunk_comes_back_whole(self, memory: MemorySystem) -> None:
        metadata = {"a": 1, "b": 2.5, "c": None, "d": True, "e": "ü\n", "f/§": ""}
        await memory.chunks.upsert(ANNA, Chunk("Straße\n\t'x'", "id-1", metadata), ttl=3600)
        [found] = await memory.chunks.search(ANNAS, "straße")
        assert (found.id, found.text, found.metadata) == ("id-1", "Straße\n\t'x'", metadata)
        assert found.scope == ANNA
        assert found.expires == pytest.approx(found.updated + 3600)

    async def test_the_same_id_replaces_in_its_scope_and_collection(
        self, memory: MemorySystem
    ) -> None:
        await memory.chunks.upsert(ANNA, placed("1"), placed("2"), ttl=3600)
        await memory.chunks.upsert(ANNAS, placed("1"))
        await memory.chunks.upsert(BEN, placed("1"))
        await memory.chunks.upsert(ANNA, placed("1"), collection="other")
        await memory.chunks.upsert(ANNA, Chunk("newer", "1", {"n": 2}, (3, 2, 1)))
        assert {one.text for one in (await by_id(memory, ANNA)).values()} == {"newer", "text of 2"}
        assert (await by_id(memory, ANNA))["1"].expires is None
        assert (await memory.contents(ANNAS)).chunks == 4
        assert (await by_id(memory, BEN))["1"].text == "text of 1"
        assert (await by_id(memory, ANNA, collection="other"))["1"].text == "text of 1"
        assert await memory.chunks.search(ANNA, "text", mode="text", where={"n": 1}) == []
        assert [one.id for one in await memory.chunks.search(ANNA, "newer", mode="text")] == ["1"]

    async def test_of_several_with_one_id_the_last_counts(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA, Chunk("first", "1"), Chunk("last", "1"))
        assert [one.text for one in await memory.chunks.search(ANNA, "first last")] == ["last"]
        assert (await memory.contents(ANNA)).chunks == 1

    async def test_nothing_is_kept_when_nothing_is_given(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA)
        assert await memory.chunks.delete(ANNA) == 0
        assert (await memory.contents(ANNAS)).total == 0

    async def test_chunks_are_deleted_of_exactly_their_scope(self, memory: MemorySystem) -> None:
        for scope in (ANNA, ANNAS, BEN, OTHER_TENANT):
            await memory.chunks.upsert(scope, placed("1"), placed("2"))
        assert await memory.chunks.delete(ANNAS, "1", "1", "unknown") == 1
        assert await memory.chunks.delete(ANNAS, "1") == 0
        assert await memory.chunks.delete(ANNAS, "1", collection="unknown") == 0
        assert (await memory.contents(ANNA)).chunks == 2
        assert (await memory.contents(ANNAS)).chunks == 3
        assert await memory.chunks.delete(ANNA, "1", "2") == 2
        assert set(await by_id(memory, ANNAS)) == {"2"}
        assert await memory.chunks.search(ANNA, "text", mode="text") == []
        assert (await memory.contents(BEN)).chunks == 2

    async def test_chunks_last_as_long_as_they_are_to(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA, placed("long"), ttl=3600)
        await memory.chunks.upsert(ANNA, placed("stays"))
        await memory.chunks.upsert(ANNA, placed("short"), ttl=0.2)

        async def short() -> bool:
            return "short" in await by_id(memory, ANNA)

        await over(short)
        left = {"long", "stays"}
        assert set(await by_id(memory, ANNA)) == left
        for mode in ("text", "hybrid"):
            found = await memory.chunks.search(ANNA, "text", vector=[1, 2, 3], mode=mode)
            assert {one.id for one in found} == left
        assert {one["id"] async for one in memory.export(ANNA)} == left
        assert await memory.chunks.delete(ANNA, "short") == 0

    async def test_a_collection_holds_vectors_of_one_size(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(ANNA, placed("1", 1, 2, 3))
        with pytest.raises(EmbeddingError, match=r"holds vectors of 3 numbers by .* not of 2"):
            await memory.chunks.upsert(ANNA, placed("2", 1, 2))
        with pytest.raises(EmbeddingError, match="not of 64 numbers by 'hashing-64'"):
            await memory.chunks.upsert(ANNA, Chunk("a text that is embedded"))
        with pytest.raises(EmbeddingError, match="'default' holds vectors of 3"):
            await memory.chunks.search(ANNA, "a text that is embedded")
        with pytest.raises(EmbeddingError, match="not of 4"):
            await memory.chunks.search(ANNA, vector=[1, 2, 3, 4], mode="vector")
        assert set(await by_id(memory, ANNAS)) == {"1"}
        # Whatever is in it, others may use the name for what they like.
        for scope, collection in ((BEN, "default"), (OTHER_TENANT, "default"), (ANNA, "wide")):
            await memory.chunks.upsert(scope, placed("1", 1, 2), collection=collection)

    async def test_an_empty_collection_takes_vectors_of_any_size(
        self, memory: MemorySystem
    ) -> None:
        await memory.chunks.upsert(ANNA, placed("1", 1, 2))
        assert len(await memory.chunks.search(ANNA, vector=[1, 2], mode="vector")) == 1
        await memory.chunks.delete(ANNA, "1")
        await memory.chunks.upsert(ANNA, placed("1", 1, 2, 3))
        assert set(await by_id(memory, ANNA)) == {"1"}
        await memory.forget(ANNAS)
        await memory.chunks.upsert(ANNA, Chunk("a text that is embedded"))
        assert len(await memory.chunks.search(ANNA, "embedded")) == 1

    @pytest.mark.parametrize(
        ("vector", "why"),
        [
            ((1, NAN, 2), "NaN"),
            ((1, INFINITE, 2), "infinity"),
            ((0, 0, 0), "zero"),
            ((), "numbers"),
            (("a", 1, 2), "numbers"),
            (((1, 2), (3, 4)), "numbers"),
        ],
    )
    async def test_what_is_no_direction_is_refused(
        self, memory: MemorySystem, vector: Any, why: str
    ) -> None:
        good = placed("good")
        with pytest.raises(EmbeddingError, match=why):
            await memory.chunks.upsert(ANNA, good, Chunk("bad", vector=vector))
        with pytest.raises(EmbeddingError, match=why):
            await memory.chunks.search(ANNA, vector=vector, mode="vector")
        assert (await memory.contents(ANNA)).total == 0

    async def test_vectors_in_one_call_are_of_one_size(self, memory: MemorySystem) -> None:
        with pytest.raises(EmbeddingError, match="one size"):
            await memory.chunks.upsert(ANNA, placed("1", 1, 2, 3), placed("2", 1, 2))
        with pytest.raises(EmbeddingError, match="one size"):
            await memory.chunks.upsert(ANNA, placed("1", 1, 2, 3), Chunk("embedded"))
        assert (await memory.contents(ANNA)).total == 0

    @pytest.mark.parametrize("length", [1e-300, 1e-3, 1, 1e300])
    async def test_only_the_direction_of_a_vector_counts(
        self, memory: MemorySystem, length: float
    ) -> None:
        await memory.chunks.upsert(ANNA, placed("1", 3 * length, 4 * length, 0))
        [found] = await memory.chunks.search(ANNA, vector=[length, 0, 0], mode="vector")
        assert found.score == pytest.approx(0.6, abs=1e-5)

    @pytest.mark.parametrize(
        ("chunk", "why"),
        [
            (Chunk(""), "1 to 100,000 characters"),
            (Chunk("x" * 100_001), "not 100,001: cut it"),
            (Chunk("a\0b"), "NUL"),
            (Chunk("\ud800"), "surrogate"),
            (Chunk("x", ""), "id has 1 to 512"),
            (Chunk("x", "i" * 513), "id has 1 to 512"),
            (Chunk("x", metadata={"": 1}), "key of metadata"),
            (Chunk("x", metadata={"a": NAN}), "JSON"),
            (Chunk("x", metadata={"a": [1]}), "metadata is of"),  # type: ignore[dict-item]
            (Chunk("x", metadata={"a": "\ud800"}), "surrogate"),
            (Chunk("x", metadata={"a": "x" * 16_000}), "16,000 bytes"),
        ],
    )
    async def test_a_chunk_that_cannot_be_kept_is_refused(
        self, memory: MemorySystem, chunk: Chunk, why: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=why):
            await memory.chunks.upsert(ANNA, Chunk("good"), chunk)
        assert (await memory.contents(ANNA)).total == 0

    async def test_other_bad_input_is_refused(self, memory: MemorySystem) -> None:
        upsert, one = memory.chunks.upsert, Chunk("x")
        for collection in ("", "c" * 513, "\0"):
            with pytest.raises(InvalidInputError, match="collection's name"):
                await upsert(ANNA, one, collection=collection)
        for ttl in (0, -1, NAN, INFINITE):
            with pytest.raises(InvalidInputError, match="ttl"):
                await upsert(ANNA, one, ttl=ttl)
        with pytest.raises(InvalidInputError, match="10,001 chunks at once"):
            await upsert(ANNA, *[one] * (MAX_UPSERT + 1))
        assert (await memory.contents(ANNA)).total == 0

    async def test_many_writers_lose_no_chunks(self, memory: MemorySystem) -> None:
        await asyncio.gather(
            *(memory.chunks.upsert(ANNA, placed(str(n)), placed("one")) for n in range(30)),
            *(by_id(memory, ANNA) for _ in range(10)),
        )
        assert set(await by_id(memory, ANNA)) == {"one", *map(str, range(30))}

    async def test_a_given_value_is_a_copy(self, memory: MemorySystem) -> None:
        metadata: dict[str, Any] = {"a": 1}
        vector = [1.0, 2.0, 3.0]
        await memory.chunks.upsert(ANNA, Chunk("x", "1", metadata, vector))
        metadata["a"], vector[0] = 2, -50.0
        found = (await by_id(memory, ANNA))["1"]
        assert found.metadata == {"a": 1}
        assert found.score == pytest.approx(6 / 42**0.5, abs=1e-5)
