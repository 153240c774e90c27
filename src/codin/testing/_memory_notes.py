"""What every memory's notes have to do."""

from __future__ import annotations

import pytest

from codin.errors import InvalidInputError
from codin.memory.base import MemoryMessage, MemorySystem
from codin.security import Scope
from codin.testing._memory_base import ANNA, ANNAS, MemoryChecks, over


class NoteConformance(MemoryChecks):
    """The checks of ``memory.notes``."""

    async def test_notes_are_kept_replaced_and_deleted(self, memory: MemorySystem) -> None:
        value = {"a": [1, 2.5, None, True, "ü"]}
        put = await memory.notes.put(ANNA, "plan", value)
        assert put.scope == ANNA
        found = await memory.notes.get(ANNA, "plan")
        assert found is not None
        assert found.value == value
        await memory.notes.put(ANNA, "plan", 2)
        assert [note.value for note in await memory.notes.list(ANNA)] == [2]
        assert await memory.notes.delete(ANNA, "plan")
        assert not await memory.notes.delete(ANNA, "plan")
        assert await memory.notes.get(ANNA, "plan") is None

    async def test_a_note_belongs_to_exactly_its_scope(self, memory: MemorySystem) -> None:
        await memory.notes.put(ANNAS, "k", "wide")
        await memory.notes.put(ANNA, "k", "narrow")
        assert [note.value for note in await memory.notes.list(ANNA)] == ["narrow"]
        assert {note.value for note in await memory.notes.list(ANNAS)} == {"wide", "narrow"}
        wide = await memory.notes.get(ANNAS, "k")
        assert wide is not None
        assert (wide.value, wide.scope) == ("wide", ANNAS)
        assert await memory.notes.get(Scope("acme", "anna", "writer"), "k") is None

    async def test_notes_are_listed_by_prefix(self, memory: MemorySystem) -> None:
        for key in ("b/1", "a/2", "a/1", "a%", "A/1"):
            await memory.notes.put(ANNA, key, key)
        assert [note.key for note in await memory.notes.list(ANNA, prefix="a/")] == ["a/1", "a/2"]
        assert [note.key for note in await memory.notes.list(ANNA, prefix="a%")] == ["a%"]
        assert len(await memory.notes.list(ANNA, limit=2)) == 2

    @pytest.mark.parametrize("key", ["", "k" * 513])
    async def test_a_bad_key_is_refused(self, memory: MemorySystem, key: str) -> None:
        with pytest.raises(InvalidInputError, match="512"):
            await memory.notes.put(ANNA, key, 1)

    async def test_only_json_is_kept(self, memory: MemorySystem) -> None:
        with pytest.raises(InvalidInputError, match="JSON"):
            await memory.notes.put(ANNA, "k", object())
        with pytest.raises(InvalidInputError, match="JSON"):
            await memory.notes.put(ANNA, "k", float("nan"))
        with pytest.raises(InvalidInputError, match="JSON"):
            await memory.history.append(ANNA, MemoryMessage("user", "x", body={"a": object()}))
        assert await memory.notes.list(ANNA) == []

    async def test_a_kept_value_is_a_copy(self, memory: MemorySystem) -> None:
        value = [1]
        await memory.notes.put(ANNA, "k", value)
        value.append(2)
        note = await memory.notes.get(ANNA, "k")
        assert note is not None
        assert note.value == [1]

    async def test_a_note_lasts_as_long_as_it_is_to(self, memory: MemorySystem) -> None:
        short = await memory.notes.put(ANNA, "short", 1, ttl=0.2)
        long = await memory.notes.put(ANNA, "long", 2, ttl=3600)
        assert short.expires is not None
        assert short.expires == pytest.approx(short.updated + 0.2)
        assert await memory.notes.get(ANNA, "long") == long

        await over(lambda: memory.notes.get(ANNA, "short"))
        assert [note.key for note in await memory.notes.list(ANNA)] == ["long"]
        assert [one["key"] async for one in memory.export(ANNA)] == ["long"]
        assert not await memory.notes.delete(ANNA, "short")

    async def test_a_note_that_is_put_again_has_a_new_time(self, memory: MemorySystem) -> None:
        await memory.notes.put(ANNA, "k", 1, ttl=0.05)
        await memory.notes.put(ANNA, "k", 2)
        await memory.notes.put(ANNA, "gone", 1, ttl=0.05)
        await over(lambda: memory.notes.get(ANNA, "gone"))
        note = await memory.notes.get(ANNA, "k")
        assert note is not None
        assert (note.value, note.expires) == (2, None)

    @pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
    async def test_a_time_that_is_none_is_refused(self, memory: MemorySystem, ttl: float) -> None:
        with pytest.raises(InvalidInputError, match="ttl"):
            await memory.notes.put(ANNA, "k", 1, ttl=ttl)
        assert await memory.notes.list(ANNA) == []

    async def test_a_note_that_is_too_large_is_refused(self, memory: MemorySystem) -> None:
        await memory.notes.put(ANNA, "k", "x" * 999_998)
        with pytest.raises(InvalidInputError, match="at most 1,000,000 bytes") as raised:
            await memory.notes.put(ANNA, "k", "ü" * 500_000)
        assert "1,000,002" in str(raised.value)
        with pytest.raises(InvalidInputError, match="100,000,002"):
            await memory.notes.put(ANNA, "k", "x" * 100_000_000)
        [note] = await memory.notes.list(ANNA)
        assert len(note.value) == 999_998

    async def test_what_is_no_text_is_refused(self, memory: MemorySystem) -> None:
        for key, value in (("\ud800", 1), ("a\0", 1), ("k", "\ud800")):
            with pytest.raises(InvalidInputError):
                await memory.notes.put(ANNA, key, value)
        assert await memory.notes.list(ANNA) == []
        await memory.notes.put(ANNA, "k", {"a\0": "\0"})
        assert [note.value for note in await memory.notes.list(ANNA)] == [{"a\0": "\0"}]
