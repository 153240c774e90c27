"""What every store of push configs must do. Subclass ``PushStoreSuite`` in a test module, and give
it a fixture ``store`` that yields an open, empty store::

    class TestMine(PushStoreSuite):
        @pytest.fixture
        async def store(self):
            ...

Needs pytest with pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from codin.security import Principal
from codin.task.push.base import Claim, DeadLetter, PushConfig, PushConfigStore
from codin.task.push.errors import PushConfigRefused, PushStoreError, UnknownPushConfig

ANN = Principal("acme", "ann", roles=frozenset({"owner"}))
BOB = Principal("acme", "bob", roles=frozenset({"owner"}))
OTHER_ANN = Principal("rival", "ann", roles=frozenset({"owner"}))


def config(name: str = "c", task_id: str = "t", **fields: str) -> PushConfig:
    """A config with everything in it."""
    whole = PushConfig(name, task_id, f"https://x.example/{name}", "token", "Bearer", "secret")
    return replace(whole, **fields)


def letter(seq: int, task_id: str = "t") -> DeadLetter:
    """A dead letter for the config ``c``."""
    return DeadLetter(task_id, "c", seq, "https://x.example/c", "no answer", 503, 4, 1.5, 2.5)


async def keep(
    store: PushConfigStore, *names: str, who: Principal = ANN, task_id: str = "t", after: int = 0
) -> None:
    """Configs of these names."""
    for name in names:
        await store.put(who, config(name, task_id), after=after, most=100)


async def claimed(
    store: PushConfigStore, owner: str = "w1", ttl: float = 60.0, *dead: str
) -> tuple[Claim, ...]:
    """What ``owner`` can get."""
    return await store.claim(owner, ttl, lambda other: other in dead)


class PushStoreSuite:
    """The contract of ``PushConfigStore``, one test a rule."""

    async def test_a_config_comes_back_as_it_was(self, store: PushConfigStore) -> None:
        odd = config("'; DROP TABLE push_config; --", "../t/%00", url="https://x.example/?a=ü")
        await store.put(ANN, odd, after=0, most=1)
        assert await store.get(ANN, odd.task_id, odd.id) == odd

    async def test_one_that_is_not_there(self, store: PushConfigStore) -> None:
        with pytest.raises(UnknownPushConfig, match="'c'"):
            await store.get(ANN, "t", "c")
        await store.delete(ANN, "t", "c")

    @pytest.mark.parametrize("stranger", [BOB, OTHER_ANN])
    async def test_nobody_elses_config_is_seen(
        self, store: PushConfigStore, stranger: Principal
    ) -> None:
        await keep(store, "c")
        with pytest.raises(UnknownPushConfig):
            await store.get(stranger, "t", "c")
        assert (await store.list(stranger, "t")).configs == ()
        await store.delete(stranger, "t", "c")
        await store.put(stranger, config(url="https://y.example/"), after=0, most=1)
        assert (await store.get(ANN, "t", "c")).url == "https://x.example/c"

    async def test_configs_are_listed_by_pages(self, store: PushConfigStore) -> None:
        await keep(store, *"edcba")
        await keep(store, "other", task_id="u")
        first = await store.list(ANN, "t", limit=2)
        await keep(store, "new")
        second = await store.list(ANN, "t", limit=2, after=first.cursor)
        last = await store.list(ANN, "t", limit=2, after=second.cursor)
        names = [one.id for page in (first, second, last) for one in page.configs]
        assert names == [*"edcba", "new"]
        assert last.cursor is None

    async def test_there_are_not_too_many(self, store: PushConfigStore) -> None:
        for name in "ab":
            await store.put(ANN, config(name), after=0, most=2)
        with pytest.raises(PushConfigRefused, match="delete one"):
            await store.put(ANN, config("c"), after=0, most=2)
        await store.put(ANN, config("b", url="https://z.example/"), after=0, most=2)
        await store.put(BOB, config("c"), after=0, most=2)
        await store.put(ANN, config("c", "u"), after=0, most=2)

    async def test_each_config_is_held_once(self, store: PushConfigStore) -> None:
        await keep(store, *"abcde")
        both = await asyncio.gather(claimed(store, "w1"), claimed(store, "w2"))
        assert sorted(one.config.id for found in both for one in found) == [*"abcde"]
        assert await claimed(store, "w3") == ()

    async def test_a_claim_has_what_is_needed(self, store: PushConfigStore) -> None:
        await keep(store, "c", after=7)
        (claim,) = await claimed(store)
        assert claim.config == config()
        assert claim.cursor == 7
        assert claim.principal == Principal("acme", "ann")

    async def test_a_lease_runs_out(self, store: PushConfigStore) -> None:
        await keep(store, "c")
        (first,) = await claimed(store, "w1", 0.05)
        await asyncio.sleep(0.1)
        (second,) = await claimed(store, "w2")
        assert await store.current(first) is None
        assert not await store.advance(first, 5, letter=letter(5))
        assert (await store.dead_letters(ANN)).letters == ()
        await store.release(first)
        await store.renew("w1", 60.0, [first.number])
        assert await store.current(second) == second

    async def test_a_lease_can_be_renewed(self, store: PushConfigStore) -> None:
        await keep(store, *"ab")
        first, _ = await claimed(store, "w1", 0.3)
        await store.renew("w1", 60.0, [first.number])
        await asyncio.sleep(0.4)
        assert [one.config.id for one in await claimed(store, "w2")] == ["b"]

    async def test_what_a_dead_owner_held_is_free(self, store: PushConfigStore) -> None:
        await keep(store, "c")
        await claimed(store, "w1")
        assert await claimed(store, "w2") == ()
        assert len(await claimed(store, "w2", 60.0, "w1")) == 1

    async def test_what_is_given_back_is_free(self, store: PushConfigStore) -> None:
        await keep(store, *"abc")
        first, *_ = await claimed(store)
        await store.release(first)
        assert [one.config.id for one in await claimed(store, "w2")] == ["a"]
        await store.leave("w1")
        assert [one.config.id for one in await claimed(store, "w2")] == ["b", "c"]

    async def test_the_cursor_is_kept(self, store: PushConfigStore) -> None:
        await keep(store, "c")
        (claim,) = await claimed(store)
        assert await store.advance(claim, 3)
        assert await store.advance(claim, 2)
        await store.release(claim)
        (claim,) = await claimed(store, "w2")
        assert claim.cursor == 3
        assert await store.advance(claim, 4, done=True)
        await store.release(claim)
        assert await claimed(store) == ()
        assert (await store.get(ANN, "t", "c")).id == "c"

    async def test_a_deleted_config_cannot_be_told(self, store: PushConfigStore) -> None:
        await keep(store, "c")
        (claim,) = await claimed(store)
        await store.delete(ANN, "t", "c")
        assert await store.current(claim) is None
        await keep(store, "c")
        assert await store.current(claim) is None
        assert not await store.advance(claim, 3)
        (again,) = await claimed(store)
        assert again.cursor == 0

    async def test_a_config_can_be_replaced(self, store: PushConfigStore) -> None:
        await keep(store, "c")
        (claim,) = await claimed(store)
        await store.advance(claim, 3)
        newer = config(url="https://y.example/")
        await store.put(ANN, newer, after=9, most=1)
        now = await store.current(claim)
        assert now is not None
        assert (now.config, now.cursor) == (newer, 3)
        await store.advance(claim, 10, done=True)
        await store.release(claim)
        await store.put(ANN, newer, after=9, most=1)
        assert await claimed(store) == ()
        await store.put(ANN, config(), after=9, most=1)
        (again,) = await claimed(store)
        assert again.cursor == 9

    async def test_dead_letters_are_kept(self, store: PushConfigStore) -> None:
        await keep(store, "c")
        await keep(store, "c", task_id="u")
        first, second = await claimed(store)
        for seq in (1, 2, 3):
            await store.advance(first, seq, letter=letter(seq))
        await store.advance(second, 1, letter=letter(1, "u"))
        await store.delete(ANN, "t", "c")
        page = await store.dead_letters(ANN, limit=3)
        assert page.letters == (letter(1, "u"), letter(3), letter(2))
        rest = await store.dead_letters(ANN, limit=3, after=page.cursor)
        assert (rest.letters, rest.cursor) == ((letter(1),), None)
        assert len((await store.dead_letters(ANN, task_id="t")).letters) == 3
        for stranger in (BOB, OTHER_ANN):
            assert (await store.dead_letters(stranger)).letters == ()

    @pytest.mark.parametrize("name", ["a\0b", "\ud800"])
    async def test_a_name_that_cannot_be_kept_is_unknown(
        self, store: PushConfigStore, name: str
    ) -> None:
        await keep(store, "c")
        for task_id, config_id in (("t", name), (name, "c")):
            with pytest.raises(UnknownPushConfig):
                await store.get(ANN, task_id, config_id)
            await store.delete(ANN, task_id, config_id)
        assert (await store.list(ANN, name)).configs == ()
        assert (await store.dead_letters(ANN, task_id=name)).letters == ()
        for field in ("url", "token", "scheme", "credentials"):
            with pytest.raises(PushConfigRefused, match="cannot be stored"):
                await store.put(ANN, config(**{field: name}), after=0, most=9)
        assert [one.id for one in (await store.list(ANN, "t")).configs] == ["c"]

    async def test_of_many_at_once_not_too_many_are_kept(self, store: PushConfigStore) -> None:
        puts = [store.put(ANN, config(f"c{n}"), after=0, most=3) for n in range(9)]
        results = await asyncio.gather(*puts, return_exceptions=True)
        assert sum(isinstance(result, PushConfigRefused) for result in results) == 6
        assert len((await store.list(ANN, "t")).configs) == 3

    async def test_a_closed_store_says_so(self, store: PushConfigStore) -> None:
        await store.close()
        await store.close()
        with pytest.raises(PushStoreError, match="closed"):
            await store.list(ANN, "t")
