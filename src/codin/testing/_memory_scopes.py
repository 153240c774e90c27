"""What every memory has to do about whose everything is."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from codin.memory.base import Chunk, Contents, MemorySystem, ScopeError
from codin.security import Scope
from codin.testing._memory_base import ANNA, ANNAS, BEN, OTHER_TENANT, MemoryChecks, over, said

SECOND = Scope("acme", "anna", "analyst", "s2")
OF_NOBODY = Scope("", "")


class ScopeConformance(MemoryChecks):
    """The checks of scopes, and of what is done to all that is within one."""

    @pytest.mark.parametrize("stranger", [BEN, OTHER_TENANT, Scope("acme", "ben")])
    async def test_others_see_nothing(self, memory: MemorySystem, stranger: Scope) -> None:
        await memory.history.append(ANNA, said("secret"))
        await memory.notes.put(ANNA, "k", "secret")
        assert await memory.history.list(stranger) == []
        assert await memory.history.window(stranger, max_tokens=1000) == []
        assert await memory.notes.list(stranger) == []
        assert await memory.notes.get(stranger, "k") is None
        assert not await memory.notes.delete(stranger, "k")
        assert (await memory.forget(stranger)).total == 0
        assert await self.texts(memory, ANNA) == ["secret"]

    async def test_forget_takes_all_within_the_scope(self, memory: MemorySystem) -> None:
        second = Scope("acme", "anna", "analyst", "s2")
        for scope in (ANNA, second, BEN):
            await memory.history.append(scope, said("x"))
            await memory.notes.put(scope, "k", 1)
        assert (await memory.forget(ANNA)).total == 2
        assert await memory.history.list(ANNA) == []
        assert await self.texts(memory, second) == ["x"]
        assert (await memory.forget(ANNAS)).total == 2
        assert await memory.notes.list(ANNAS) == []
        assert await self.texts(memory, BEN) == ["x"]

    async def test_hostile_text_is_only_text(self, memory: MemorySystem) -> None:
        text = "'; DROP TABLE message; --"
        hostile = Scope("acme", text, text, text)
        await memory.history.append(hostile, said(text))
        await memory.notes.put(hostile, text, text)
        assert await self.texts(memory, hostile) == [text]
        assert [note.key for note in await memory.notes.list(hostile, prefix="';")] == [text]

    async def test_closing_twice_does_nothing(self, memory: MemorySystem) -> None:
        await memory.close()
        await memory.close()

    async def kept(self, memory: MemorySystem, *scopes: Scope) -> None:
        """Keep one thing of each kind in each of ``scopes``, which name a session."""
        for scope in scopes:
            await memory.history.append(scope, said("a word"))
            await memory.notes.put(scope, "k", [1])
            await memory.chunks.upsert(scope, Chunk("a word", id="c"))

    async def test_forgetting_takes_chunks_too_and_can_be_proved(
        self, memory: MemorySystem
    ) -> None:
        await self.kept(memory, ANNA, SECOND, BEN, OTHER_TENANT)
        await memory.chunks.upsert(ANNAS, Chunk("wide", id="w"), collection="other")
        assert await memory.contents(ANNAS) == Contents(2, 2, 3)
        assert await memory.forget(ANNA) == Contents(1, 1, 1)
        assert await memory.contents(ANNA) == Contents()
        assert await memory.contents(ANNAS) == Contents(1, 1, 2)
        assert await memory.forget(ANNAS) == Contents(1, 1, 2)
        assert await memory.contents(ANNAS) == Contents()
        assert [one async for one in memory.export(ANNAS)] == []
        assert await memory.chunks.search(ANNAS, "word") == []
        for other in (BEN, OTHER_TENANT):
            assert await memory.contents(other) == Contents(1, 1, 1)
            assert len(await memory.chunks.search(other, "word")) == 1

    async def test_forgetting_takes_what_has_run_out(self, memory: MemorySystem) -> None:
        await memory.notes.put(ANNA, "k", 1, ttl=0.05)
        await memory.chunks.upsert(ANNA, Chunk("a word"), ttl=0.05)
        await over(lambda: memory.notes.list(ANNA))
        await over(lambda: memory.chunks.search(ANNA, "word"))
        await memory.forget(ANNA)
        assert await memory.contents(ANNA) == Contents()

    async def test_all_is_exported_as_it_was_kept(self, memory: MemorySystem) -> None:
        message = said("hällo")
        await memory.history.append(ANNA, message)
        note = await memory.notes.put(ANNAS, "k", {"a": [1]}, ttl=3600)
        chunk = Chunk("some text", metadata={"page": 3, "by": "ü"})
        await memory.chunks.upsert(SECOND, chunk, collection="files")
        await self.kept(memory, BEN, OTHER_TENANT)
        exported = {one["kind"]: one async for one in memory.export(ANNAS)}
        updated = exported["chunk"].pop("updated")
        assert updated == pytest.approx(note.updated, abs=60)
        of_anna = {"tenant": "acme", "user": "anna"}
        of_analyst = {**of_anna, "agent": "analyst"}
        assert exported["message"] == {
            "kind": "message",
            **of_analyst,
            "session": "s1",
            **asdict(message),
        }
        assert exported["note"] == {
            "kind": "note",
            **of_anna,
            "agent": None,
            "session": None,
            "key": "k",
            "value": {"a": [1]},
            "updated": note.updated,
            "expires": note.expires,
        }
        assert exported["chunk"] == {
            "kind": "chunk",
            **of_analyst,
            "session": "s2",
            "collection": "files",
            "id": chunk.id,
            "text": "some text",
            "metadata": {"page": 3, "by": "ü"},
            "expires": None,
            "embedder": "hashing-64",
        }
        assert len(exported) == 3

    async def test_an_export_is_whole_however_much_there_is(self, memory: MemorySystem) -> None:
        many = [said(str(number)) for number in range(1100)]
        await memory.history.append(ANNA, *many)
        chunks = [Chunk(f"chunk {number}", id=str(number)) for number in range(1100)]
        await memory.chunks.upsert(ANNA, *chunks)
        for number in range(520):
            await memory.notes.put(ANNA if number % 2 else SECOND, str(number), number)
        exported = [one async for one in memory.export(ANNAS)]
        assert [one["id"] for one in exported if one["kind"] == "message"] == [m.id for m in many]
        assert [one["id"] for one in exported if one["kind"] == "chunk"] == [c.id for c in chunks]
        notes = [one["key"] for one in exported if one["kind"] == "note"]
        assert sorted(notes, key=int) == [str(number) for number in range(520)]

    @pytest.mark.parametrize("empty", [Scope("acme", "anna", ""), Scope("acme", "anna", "a", "")])
    async def test_an_empty_agent_or_session_is_refused(
        self, memory: MemorySystem, empty: Scope
    ) -> None:
        calls = (
            lambda: memory.history.append(empty, said("x")),
            lambda: memory.history.list(empty),
            lambda: memory.history.window(empty),
            lambda: memory.notes.put(empty, "k", 1),
            lambda: memory.notes.get(empty, "k"),
            lambda: memory.notes.list(empty),
            lambda: memory.notes.delete(empty, "k"),
            lambda: memory.chunks.upsert(empty, Chunk("x")),
            lambda: memory.chunks.delete(empty, "x"),
            lambda: memory.chunks.search(empty, "x"),
            lambda: memory.forget(empty),
            lambda: memory.contents(empty),
            lambda: anext(aiter(memory.export(empty))),
        )
        for call in calls:
            with pytest.raises(ScopeError, match="empty"):
                await call()

    async def test_an_empty_tenant_or_user_is_one_as_any_other(self, memory: MemorySystem) -> None:
        nobody = Scope("", "", "analyst", "s1")
        await self.kept(memory, ANNA, nobody)
        assert await memory.contents(OF_NOBODY) == Contents(1, 1, 1)
        assert len(await memory.chunks.search(OF_NOBODY, "word")) == 1
        assert await memory.forget(OF_NOBODY) == Contents(1, 1, 1)
        assert await memory.contents(ANNAS) == Contents(1, 1, 1)
