"""What every memory's conversations have to do."""

from __future__ import annotations

import asyncio

import pytest

from codin.errors import InvalidInputError
from codin.memory.base import MemoryMessage, MemorySystem, ScopeError
from codin.security import Scope
from codin.testing._memory_base import ANNA, ANNAS, BEN, MemoryChecks, said


class HistoryConformance(MemoryChecks):
    """The checks of ``memory.history``."""

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

    async def test_many_writers_lose_nothing(self, memory: MemorySystem) -> None:
        await asyncio.gather(*(memory.history.append(ANNA, said(str(n))) for n in range(50)))
        assert sorted(await self.texts(memory, ANNA), key=int) == [str(n) for n in range(50)]
