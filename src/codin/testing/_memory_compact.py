"""How every memory's conversations are summed up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from codin.errors import InvalidInputError
from codin.memory.base import MemoryMessage, MemorySystem, ScopeError
from codin.memory.history import sources_of
from codin.security import Scope
from codin.testing._memory_base import ANNA, ANNAS, BEN, MemoryChecks, said


async def initials(before: str, messages: Sequence[MemoryMessage]) -> str:
    """What was summed up before, and the first letter of each message."""
    return before + "".join(message.text[0] for message in messages)


class CompactConformance(MemoryChecks):
    """The checks of ``memory.compact``."""

    async def test_a_window_gives_the_summary_and_what_is_newer(self, memory: MemorySystem) -> None:
        sent = [said(text) for text in ("aaaa", "bbbb", "cccc", "dd")]
        await memory.history.append(ANNA, *sent)
        summary = await memory.compact(ANNA, initials, keep_tokens=6, count_tokens=len)
        assert summary is not None
        assert (summary.text, summary.sources) == ("ab", (sent[0].id, sent[1].id))
        window = await memory.history.window(ANNA)
        assert [message.text for message in window] == ["ab", "cccc", "dd"]
        assert sources_of(window[0]) == summary.sources
        # The sources stay, and all of it is listed.
        assert await self.texts(memory, ANNA) == ["aaaa", "bbbb", "cccc", "dd", "ab"]

    async def test_a_summary_is_summed_up_with_what_came_since(self, memory: MemorySystem) -> None:
        for text in ("aaaa", "bbbb", "cccc"):
            await memory.history.append(ANNA, said(text))
        first = await memory.compact(ANNA, initials, keep_tokens=4, count_tokens=len)
        await memory.history.append(ANNA, said("dddd"))
        second = await memory.compact(ANNA, initials, keep_tokens=0, count_tokens=len)
        assert first is not None
        assert second is not None
        assert second.text == "abcd"
        assert {first.id, *first.sources} < set(second.sources)
        window = await memory.history.window(ANNA)
        assert [message.text for message in window] == ["abcd"]
        again = await memory.compact(ANNA, initials, keep_tokens=0, count_tokens=len)
        assert again is None

    async def test_a_summary_takes_half_of_a_window(self, memory: MemorySystem) -> None:
        for text in ("aaaa", "bbbb", "cc", "dd"):
            await memory.history.append(ANNA, said(text))
        await memory.compact(ANNA, initials, keep_tokens=4, count_tokens=len)

        async def window(**bounds: int) -> list[str]:
            found = await memory.history.window(ANNA, count_tokens=len, **bounds)
            return [message.text for message in found]

        assert await window(max_tokens=6) == ["ab", "cc", "dd"]
        assert await window(max_tokens=5) == ["ab", "dd"]
        assert await window(max_tokens=3) == ["dd"]
        assert await window(max_messages=3) == ["ab", "cc", "dd"]
        assert await window(max_messages=2) == ["ab", "dd"]
        assert await window(max_messages=1) == ["dd"]

    async def test_only_exactly_the_scope_is_summed_up(self, memory: MemorySystem) -> None:
        session = Scope("acme", "anna", session="s1")
        for scope in (ANNA, session, BEN):
            await memory.history.append(scope, said(f"of {scope.agent} {scope.user}"))
        heard = []

        async def listens(before: str, messages: Sequence[MemoryMessage]) -> str:
            heard.append([message.text for message in messages])
            return "summed up"

        for scope in (session, ANNA):
            assert await memory.compact(scope, listens, keep_tokens=0) is not None
        assert heard == [["of None anna"], ["of analyst anna"]]
        assert await self.texts(memory, BEN) == ["of analyst ben"]
        # What is forgotten is in no summary that stays.
        await memory.forget(Scope("acme", "anna", agent="analyst"))
        assert await self.texts(memory, ANNAS) == ["of None anna", "summed up"]
        with pytest.raises(ScopeError, match="session"):
            await memory.compact(ANNAS, listens)

    async def test_two_who_sum_up_at_once_keep_one(self, memory: MemorySystem) -> None:
        await memory.history.append(ANNA, said("aaaa"), said("bbbb"))
        both = await asyncio.gather(
            *(memory.compact(ANNA, initials, keep_tokens=0) for _ in range(2))
        )
        found = [one for one in await memory.history.list(ANNA) if sources_of(one) is not None]
        assert [one.text for one in found] == ["ab"]
        assert {one.id for one in both if one is not None} == {found[0].id}

    async def test_a_summary_that_is_none_is_refused(self, memory: MemorySystem) -> None:
        await memory.history.append(ANNA, said("aaaa"))

        async def gives(text: str) -> None:
            async def summarise(before: str, messages: Sequence[MemoryMessage]) -> str:
                return text

            await memory.compact(ANNA, summarise, keep_tokens=0)

        for wrong in (" ", "x" * 20_001, "\0", "\ud800"):
            with pytest.raises(InvalidInputError):
                await gives(wrong)

        async def fails(before: str, messages: Sequence[MemoryMessage]) -> str:
            raise RuntimeError("no model")

        with pytest.raises(RuntimeError, match="no model"):
            await memory.compact(ANNA, fails, keep_tokens=0)
        assert await self.texts(memory, ANNA) == ["aaaa"]
