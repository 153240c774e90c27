"""How every memory has to find chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codin.errors import InvalidInputError
from codin.ids import new_id
from codin.memory.base import Chunk, EmbeddingError, FoundChunk, MemorySystem
from codin.security import Scope
from codin.testing._memory_base import ANNA, ANNAS, BEN, EACH_ITS_OWN, OTHER_TENANT, MemoryChecks
from codin.testing._memory_chunks import placed
from codin.testing.hashing_embedder import HashingEmbedder

TEXTS = {
    "invoice": "The invoice of the carpenter was paid in March.",
    "roof": "The roof of the house leaks when it rains.",
    "holiday": "Anna wants to spend her holidays at the sea.",
    "allergy": "Anna is allergic to peanuts.",
    "code": "parse_header('Content-Type') raises ValueError: see RFC-7231.",
}

_coordinate = st.integers(-4, 4)
_vector = st.tuples(*[_coordinate] * 3).filter(any)
_chunk = st.tuples(
    st.sampled_from("abcdefghijkl"),
    _vector,
    st.sampled_from([None, "x", "y"]),
    st.sampled_from([None, "1", "2"]),
    st.sampled_from([1, 2, "2", True, None]),
)


def ids(found: Sequence[FoundChunk]) -> list[str]:
    """Which were found, in their order."""
    return [one.id for one in found]


class SearchConformance(MemoryChecks):
    """The checks of searching chunks."""

    async def known(self, memory: MemorySystem, scope: Scope = ANNA) -> None:
        """Keep ``TEXTS``."""
        chunks = [Chunk(text, name, {"kind": name[0]}) for name, text in TEXTS.items()]
        await memory.chunks.upsert(scope, *chunks)

    async def test_words_are_found_in_whatever_form(self, memory: MemorySystem) -> None:
        await self.known(memory)

        async def first(query: str) -> str:
            return ids(await memory.chunks.search(ANNA, query, mode="text"))[0]

        assert await first("INVOICES") == "invoice"
        assert await first("leaking roofs") == "roof"
        assert await first("peanut") == "allergy"
        assert await first("what does parse_header raise?") == "code"
        assert await first("content-type") == "code"
        assert await memory.chunks.search(ANNA, "submarine", mode="text") == []
        assert await memory.chunks.search(ANNA, "?! -- ''", mode="text") == []
        assert await memory.chunks.search(ANNA, "", mode="text") == []

    @pytest.mark.parametrize(
        "query",
        ['"', "a AND", "NEAR(a b", "words:roof", "-roof", "roof*", "^roof", "'; DROP TABLE", "\0"],
    )
    async def test_a_query_is_only_words(self, memory: MemorySystem, query: str) -> None:
        await self.known(memory)
        found = await memory.chunks.search(ANNA, query, mode="text")
        assert ids(found) in ([], ["roof"])
        assert len(await memory.chunks.search(ANNA, query)) == len(TEXTS)

    async def test_words_of_other_scripts_are_found(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(
            *(ANNA, Chunk("Ein Café in Köln", "de"), Chunk("Москва зимой", "ru")),
            *(Chunk("हिन्दी भाषा", "hi"), Chunk("e\u0301te\u0301", "nfd")),
        )
        for query, wanted in (
            *(("cafe", "de"), ("KÖLN", "de"), ("москва", "ru"), ("हिन्दी", "hi")),
            ("\u00e9t\u00e9", "nfd"),
        ):
            found = await memory.chunks.search(ANNA, query, mode="text")
            assert ids(found) == [wanted], query

    async def test_the_nearest_come_first(self, memory: MemorySystem) -> None:
        places = {"east": (1, 0, 0), "north": (0, 1, 0), "west": (-1, 0, 0)}
        await memory.chunks.upsert(ANNA, *(placed(name, *at) for name, at in places.items()))
        found = await memory.chunks.search(ANNA, vector=[3, 1, 0], mode="vector")
        assert ids(found) == ["east", "north", "west"]
        assert [one.score for one in found] == pytest.approx(
            [3 / 10**0.5, 1 / 10**0.5, -3 / 10**0.5], abs=1e-5
        )
        [first] = await memory.chunks.search(ANNA, vector=[3, 1, 0], mode="vector", limit=1)
        assert first == found[0]

    async def test_texts_are_embedded(self, memory: MemorySystem) -> None:
        await self.known(memory)
        found = await memory.chunks.search(ANNA, TEXTS["roof"], mode="vector")
        assert ids(found)[0] == "roof"
        assert found[0].score == pytest.approx(1, abs=1e-5)
        assert len(found) == len(TEXTS)
        [vector] = await HashingEmbedder().embed([TEXTS["roof"]])
        assert await memory.chunks.search(ANNA, vector=vector.tolist(), mode="vector") == found

    async def test_a_hybrid_search_fuses_both_rankings(self, memory: MemorySystem) -> None:
        await memory.chunks.upsert(
            ANNA,
            Chunk("about cheese", "both", vector=[1, 0, 0]),
            Chunk("about cheese, and much else that has no place here", "words", vector=[-1, 0, 0]),
            Chunk("nothing of it", "near", vector=[1, 0.1, 0]),
        )
        found = await memory.chunks.search(ANNA, "cheese", vector=[1, 0, 0])
        assert ids(found) == ["both", "words", "near"]
        assert [one.score for one in found] == pytest.approx(
            [1.0, 61 / 2 * (1 / 62 + 1 / 63), 61 / 2 / 62]
        )

    async def test_only_good_ones_are_given(self, memory: MemorySystem) -> None:
        await self.known(memory)
        for mode in ("vector", "text", "hybrid"):
            everything = await memory.chunks.search(ANNA, "the roof of Anna", mode=mode)
            assert len(everything) > 2
            least = everything[1].score
            found = await memory.chunks.search(ANNA, "the roof of Anna", mode=mode, min_score=least)
            assert found == [one for one in everything if one.score >= least]
            assert len(found) < len(everything)

    async def test_metadata_narrows(self, memory: MemorySystem) -> None:
        values: Mapping[str, Any] = {
            "one": 1,
            "float": 1.0,
            "true": True,
            "text": "1",
            "null": None,
            "other": "x",
        }
        for name, value in values.items():
            await memory.chunks.upsert(ANNA, Chunk("a word", name, {"v": value, "w": name}))
        await memory.chunks.upsert(ANNA, Chunk("a word", "without"))

        async def found(**where: Any) -> set[str]:
            in_each = [
                set(ids(await memory.chunks.search(ANNA, "word", mode=mode, where=where)))
                for mode in ("vector", "text", "hybrid")
            ]
            assert in_each[0] == in_each[1] == in_each[2]
            return in_each[0]

        assert await found(v=1) == await found(v=1.0) == {"one", "float"}
        assert await found(v=True) == {"true"}
        assert await found(v="1") == {"text"}
        assert await found(v=None) == {"null"}
        assert await found(v=["x", None]) == {"other", "null"}
        assert await found(v=1, w="one") == {"one"}
        assert await found(v=1, w="other") == set()
        assert await found(v=[]) == set()
        assert await found(u=1) == set()
        assert await found() == {*values, "without"}
        with pytest.raises(InvalidInputError, match="metadata is of"):
            await found(v={"a": 1}.items())

    async def test_a_narrow_scope_finds_as_much_as_there_is(self, memory: MemorySystem) -> None:
        far = [placed(f"far-{number}", 1, 0, 0) for number in range(200)]
        await memory.chunks.upsert(Scope("acme", "anna", "analyst", "s2"), *far)
        await memory.chunks.upsert(ANNA, placed("own", -1, 0, 0, kind="own"))
        for scope, where in ((ANNA, {}), (ANNAS, {"kind": "own"})):
            for mode in ("vector", "text", "hybrid"):
                found = await memory.chunks.search(
                    *(scope, "text of own"), vector=[1, 0, 0], mode=mode, where=where, limit=3
                )
                assert ids(found) == ["own"], mode

    async def test_a_scope_finds_what_is_narrower(self, memory: MemorySystem) -> None:
        scopes = {
            "user": ANNAS,
            "agent": Scope("acme", "anna", "analyst"),
            "session": Scope("acme", "anna", session="s1"),
            "both": ANNA,
            "writer": Scope("acme", "anna", "writer", "s1"),
        }
        for name, scope in scopes.items():
            await memory.chunks.upsert(scope, placed(name))
        for name, wanted in (
            ("user", set(scopes)),
            ("agent", {"agent", "both"}),
            ("session", {"session", "both", "writer"}),
            ("both", {"both"}),
            ("writer", {"writer"}),
        ):
            for mode in ("vector", "text", "hybrid"):
                found = await memory.chunks.search(
                    scopes[name], "text", vector=[1, 1, 1], mode=mode
                )
                assert {one.id: one.scope for one in found} == {
                    each: scopes[each] for each in wanted
                }

    async def test_others_find_nothing(self, memory: MemorySystem) -> None:
        await self.known(memory)
        for stranger in (BEN, OTHER_TENANT, Scope("acme", "ben"), Scope("other", "anna")):
            for mode in ("vector", "text", "hybrid"):
                assert await memory.chunks.search(stranger, "Anna", mode=mode) == []
            assert await memory.chunks.delete(stranger, *TEXTS) == 0
        assert len(await memory.chunks.search(ANNA, "Anna")) == len(TEXTS)

    async def test_what_others_keep_weighs_nothing(self, memory: MemorySystem) -> None:
        await self.known(memory)

        async def found() -> list[list[str]]:
            return [
                ids(await memory.chunks.search(ANNA, "allergic Anna roof invoice", mode=mode))
                for mode in ("vector", "text", "hybrid")
            ]

        before = await found()
        many = [Chunk(f"the roof invoice of {number}", str(number)) for number in range(200)]
        for stranger in (BEN, OTHER_TENANT):
            await memory.chunks.upsert(stranger, *many)
        assert await found() == before

    async def test_bad_questions_are_refused(self, memory: MemorySystem) -> None:
        search = memory.chunks.search
        with pytest.raises(InvalidInputError, match="hybrid, vector or text, not 'best'"):
            await search(ANNA, "x", mode="best")  # type: ignore[arg-type]
        for mode in ("text", "hybrid"):
            with pytest.raises(InvalidInputError, match="needs a query"):
                await search(ANNA, vector=[1, 2, 3], mode=mode)
        with pytest.raises(InvalidInputError, match="needs a query"):
            await search(ANNA, mode="vector")
        with pytest.raises(InvalidInputError, match="at most 1,000"):
            await search(ANNA, "x", limit=1001)
        with pytest.raises(EmbeddingError, match="NaN"):
            await search(ANNA, "x", vector=[float("nan")])
        assert await search(ANNA, "x", limit=0) == []
        assert await search(ANNA, "x", collection="unknown") == []

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=EACH_ITS_OWN,
    )
    @given(
        kept=st.lists(_chunk, max_size=30),
        deleted=st.sets(st.sampled_from("abcdefghijkl")),
        vector=_vector,
        reach=st.tuples(st.sampled_from([None, "x"]), st.sampled_from([None, "1"])),
        value=st.sampled_from([1, 2, "2", True, None, [1, "2"]]) | st.just(...),
        limit=st.integers(1, 12),
    )
    async def test_a_search_by_meaning_gives_what_comparing_all_gives(
        self,
        memory: MemorySystem,
        *,
        kept: list[Any],
        deleted: set[str],
        vector: tuple[int, ...],
        reach: tuple[str | None, str | None],
        value: Any,
        limit: int,
    ) -> None:
        import numpy as np

        user, expected = new_id(), dict[tuple[Scope, str], tuple[Any, Any]]()
        for name, at, agent, session, tagged in kept:
            scope = Scope("acme", user, agent, session)
            await memory.chunks.upsert(scope, placed(name, *at, v=tagged))
            expected[(scope, name)] = at, tagged
        for name in deleted:
            scope = Scope("acme", user, "x", None)
            gone = expected.pop((scope, name), None)
            assert await memory.chunks.delete(scope, name) == (gone is not None)
        where = {} if value is ... else {"v": value}
        agent, session = reach
        wanted = {
            key: float(np.dot(at, vector) / np.linalg.norm(at) / np.linalg.norm(vector))
            for key, (at, tagged) in expected.items()
            if agent in (None, key[0].agent) and session in (None, key[0].session)
            if value is ... or _same(tagged, value)
        }
        found = await memory.chunks.search(
            Scope("acme", user, agent, session),
            vector=vector,
            mode="vector",
            limit=limit,
            where=where,
        )
        scores = [one.score for one in found]
        # Of those that are as near as each other any may be the last.
        assert scores == pytest.approx(sorted(wanted.values(), reverse=True)[:limit], abs=1e-5)
        assert scores == pytest.approx([wanted[one.scope, one.id] for one in found], abs=1e-5)
        assert len({(one.scope, one.id) for one in found}) == len(found)


def _same(one: object, wanted: Any) -> bool:
    several = wanted if isinstance(wanted, list) else [wanted]
    return any(type(one) is type(other) and one == other for other in several)
