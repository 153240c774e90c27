"""What every memory has to do. Subclass ``MemoryConformance`` and give it a ``memory`` fixture."""

from __future__ import annotations

import asyncio

import pytest

from codin.errors import InvalidInputError
from codin.memory.base import MemoryMessage, MemorySystem, ScopeError
from codin.security import Scope

ANNA = Scope("acme", "anna", "analyst", "s1")
ANNAS = Scope("acme", "anna")
BEN = Scope("acme", "ben", "analyst", "s1")
OTHER_TENANT = Scope("other", "anna", "analyst", "s1")


def said(text: str, role: str = "user") -> MemoryMessage:
    """A message with that text."""
    return MemoryMessage("user" if role == "user" else "agent", text)


class MemoryConformance:
    """The checks, as a class for pytest: the fixture ``memory`` gives an empty, open memory."""

    async def texts(self, memory: MemorySystem, scope: Scope) -> list[str]:
        return [message.text for message in await memory.history.list(scope)]

    async def test_messages_come_back_whole_and_in_order(self, memory: MemorySystem) -> None:
        sent = [
            MemoryMessage("user", "hällo", task_id="t1", time=5.0, body={"parts": [1, "ü"]}),
            MemoryMessage("agent", "", time=4.0),
        ]
        for message in sent:
            await memory.history.append(ANNA, message)
        assert await memory.history.list(ANNA) == sent

    async def test_several_messages_are_kept_all_or_none(self, memory: MemorySystem) -> None:
        first, second = said("one"), said("two")
        await memory.history.append(ANNA, first, second, first)
        assert await memory.history.list(ANNA) == [first, second]
        broken = MemoryMessage("user", "x", body={"a": object()})
        with pytest.raises(InvalidInputError):
            await memory.history.append(ANNA, said("three"), broken)
        assert await memory.history.list(ANNA) == [first, second]

    async def test_a_message_needs_a_session(self, memory: MemorySystem) -> None:
        with pytest.raises(ScopeError, match="session"):
            await memory.history.append(ANNAS, said("lost"))

    async def test_the_same_message_is_kept_once(self, memory: MemorySystem) -> None:
        message = said("once")
        await memory.history.append(ANNA, message)
        await memory.history.append(ANNA, message)
        assert await self.texts(memory, ANNA) == ["once"]

    async def test_the_same_id_may_be_in_another_scope(self, memory: MemorySystem) -> None:
        message = said("both")
        await memory.history.append(ANNA, message)
        await memory.history.append(BEN, message)
        assert await self.texts(memory, BEN) == ["both"]

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

    async def test_a_scope_covers_what_is_narrower(self, memory: MemorySystem) -> None:
        writer = Scope("acme", "anna", "writer", "s1")
        second = Scope("acme", "anna", "analyst", "s2")
        for scope in (ANNA, writer, second):
            await memory.history.append(scope, said(f"{scope.agent} {scope.session}"))
        assert await self.texts(memory, ANNAS) == ["analyst s1", "writer s1", "analyst s2"]
        in_session = Scope("acme", "anna", session="s1")
        assert await self.texts(memory, in_session) == ["analyst s1", "writer s1"]
        of_agent = Scope("acme", "anna", agent="analyst")
        assert await self.texts(memory, of_agent) == ["analyst s1", "analyst s2"]
        assert await self.texts(memory, second) == ["analyst s2"]

    async def test_list_is_bounded_and_pages_back(self, memory: MemorySystem) -> None:
        messages = [said(str(n)) for n in range(5)]
        for message in messages:
            await memory.history.append(ANNA, message)
        newest = await memory.history.list(ANNA, limit=2)
        assert [message.text for message in newest] == ["3", "4"]
        page = await memory.history.list(ANNA, limit=2, before=newest[0].id)
        assert [message.text for message in page] == ["1", "2"]
        assert await memory.history.list(ANNA, before="unknown") == []
        assert await memory.history.list(ANNA, limit=0) == []

    async def test_a_window_keeps_its_bounds(self, memory: MemorySystem) -> None:
        for text in ("aaaa", "bb", "ccc"):
            await memory.history.append(ANNA, said(text))

        async def window(**bounds: int) -> list[str]:
            found = await memory.history.window(ANNA, count_tokens=len, **bounds)
            return [message.text for message in found]

        assert await window() == ["aaaa", "bb", "ccc"]
        assert await window(max_messages=2) == ["bb", "ccc"]
        assert await window(max_tokens=5) == ["bb", "ccc"]
        assert await window(max_tokens=4) == ["ccc"]
        assert await window(max_tokens=2) == []
        assert await window(max_tokens=100, max_messages=1) == ["ccc"]

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

    async def test_many_writers_lose_nothing(self, memory: MemorySystem) -> None:
        await asyncio.gather(*(memory.history.append(ANNA, said(str(n))) for n in range(50)))
        assert sorted(await self.texts(memory, ANNA), key=int) == [str(n) for n in range(50)]

    async def test_closing_twice_does_nothing(self, memory: MemorySystem) -> None:
        await memory.close()
        await memory.close()
