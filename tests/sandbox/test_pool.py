"""Pools of warm Workers."""

import asyncio

import pytest

from codin.errors import InvalidInputError
from codin.sandbox import Limits, SandboxSpec
from codin.sandbox.errors import SandboxGone, SandboxUnavailable, WorkerGone
from codin.sandbox.pool import PoolPolicy, PoolState, Reuse, WorkerPool

pytestmark = pytest.mark.slow

SOURCE = "kept = []\ndef more(x):\n    kept.append(x)\n    return list(kept)\n"
SPEC = SandboxSpec()


class Counting:
    """A provider that counts, and fails when it is told to."""

    def __init__(self, provider):
        self._provider = provider
        self.made = []
        self.failing = None
        self.slow = 0.0

    async def create(self, spec):
        await asyncio.sleep(self.slow)
        if self.failing is not None:
            raise self.failing
        sandbox = await self._provider.create(spec)
        self.made.append(sandbox)
        return sandbox


@pytest.fixture
async def counting(provider):
    return Counting(provider)


@pytest.fixture
async def pool(counting):
    pool = WorkerPool(counting, PoolPolicy(ready=1, most=3))
    yield pool
    await pool.close()
    assert pool.state == PoolState(0, 0, 0, 0, 0)


async def more(pool, x, owner="a", mode=Reuse.KEEP, spec=SPEC):
    async with pool.take(spec, owner=owner, mode=mode) as worker:
        return await worker.call("m:more", [x], source=SOURCE)


async def until(pool, **wanted):
    async with asyncio.timeout(20):
        while any(getattr(pool.state, name) != value for name, value in wanted.items()):
            await asyncio.sleep(0.01)


async def test_state_is_kept_for_its_owner_and_for_nobody_else(pool, counting):
    assert await more(pool, 1) == [1]
    assert await more(pool, 2) == [1, 2]
    assert await more(pool, 3, owner="b") == [3]
    assert await more(pool, 4, mode=Reuse.ONE_SHOT) == [4]
    assert await more(pool, 5) == [1, 2, 5]


async def test_one_shot_is_thrown_away(pool, counting):
    for n in range(3):
        assert await more(pool, n, mode=Reuse.ONE_SHOT) == [n]
    await until(pool, ending=0, taken=0, starting=0)
    assert pool.state.idle == 0
    assert len(counting.made) >= 3


async def test_what_is_warm_is_there_at_once(pool, counting):
    await pool.warm(SPEC)
    assert pool.state.ready == 1
    counting.slow = 60
    assert await asyncio.wait_for(more(pool, 1, mode=Reuse.ONE_SHOT), 10) == [1]
    assert await asyncio.wait_for(_starting(pool), 5)


async def _starting(pool):
    await until(pool, starting=1)
    return True


async def test_another_spec_is_another_sandbox(pool):
    assert await more(pool, 1) == [1]
    assert await more(pool, 2, spec=SandboxSpec(env={"A": "b"})) == [2]
    assert await more(pool, 3, spec=SandboxSpec(env={"A": "b"})) == [2, 3]
    assert await more(pool, 4, spec=SandboxSpec(limits=Limits(memory_bytes=2**27))) == [4]


async def test_there_are_never_more_than_most_and_who_comes_later_waits(pool, counting):
    running, most = set(), 0

    async def hold(n):
        nonlocal most
        async with pool.take(SPEC, owner=f"owner {n}", mode=Reuse.KEEP) as worker:
            running.add(n)
            most = max(most, len(running))
            assert await worker.call("m:more", [n], source=SOURCE) == [n]
            await asyncio.sleep(0.05)
            running.discard(n)
            state = pool.state
            there = state.ready + state.idle + state.taken + state.starting + state.ending
            assert there <= 3

    await asyncio.gather(*(hold(n) for n in range(7)))
    assert 1 <= most <= 3


async def test_a_start_in_the_background_that_failed_is_told_to_the_next(pool, counting):
    await pool.warm(SPEC)
    counting.failing = SandboxUnavailable("no room")
    assert await more(pool, 1, mode=Reuse.ONE_SHOT) == [1]
    await asyncio.sleep(0.1)
    counting.failing = None
    with pytest.raises(SandboxUnavailable, match="no room"):
        await more(pool, 2, mode=Reuse.ONE_SHOT)
    assert await more(pool, 3, mode=Reuse.ONE_SHOT) == [3]


async def test_who_asks_for_what_cannot_be_had_is_told(pool, counting):
    counting.failing = SandboxUnavailable("no room")
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match="no room"):
            await more(pool, 1)
    assert pool.state == PoolState(0, 0, 0, 0, 0)


async def test_a_worker_that_ended_does_not_come_back(pool):
    with pytest.raises(WorkerGone):
        async with pool.take(SPEC, owner="a", mode=Reuse.KEEP) as worker:
            await worker.call("os:_exit", [3])
    assert await more(pool, 1) == [1]


async def test_a_call_that_goes_on_does_not_come_back(pool):
    async with pool.take(SPEC, owner="a", mode=Reuse.KEEP) as worker:
        call = worker.call("time:sleep", [60])
    assert await more(pool, 1) == [1]
    with pytest.raises((WorkerGone, SandboxGone)):
        await call


async def test_a_worker_is_worn_out_by_its_calls(counting):
    pool = WorkerPool(counting, PoolPolicy(ready=0, most=2, calls=2))
    assert [await more(pool, n) for n in range(5)] == [[0], [0, 1], [2], [2, 3], [4]]
    await pool.close()


async def test_what_nobody_takes_goes(counting):
    pool = WorkerPool(counting, PoolPolicy(ready=1, most=4, idle_seconds=0.3))
    await more(pool, 1)
    await more(pool, 2)
    await until(pool, idle=1, ready=1)
    await until(pool, idle=0, ready=0, ending=0, starting=0)
    await asyncio.sleep(0.4)
    assert pool.state == PoolState(0, 0, 0, 0, 0)
    assert len(counting.made) == 2
    await pool.close()


async def test_the_end_of_a_pool_leaves_nothing(counting):
    pool = WorkerPool(counting, PoolPolicy(ready=1, most=1))
    async with pool.take(SPEC, owner="a", mode=Reuse.KEEP) as worker:
        waiting = asyncio.create_task(more(pool, 1, owner="b"))
        call = worker.call("time:sleep", [60])
        await asyncio.sleep(0.05)
        await pool.close()
        with pytest.raises(SandboxGone):
            await waiting
        with pytest.raises((WorkerGone, SandboxGone)):
            await call
    assert pool.state == PoolState(0, 0, 0, 0, 0)
    with pytest.raises(SandboxGone):
        await more(pool, 1)
    for sandbox in counting.made:
        with pytest.raises(SandboxGone):
            await sandbox.exec(["true"])


async def test_who_is_cancelled_while_it_waits_leaves_all_as_it_was(counting):
    pool = WorkerPool(counting, PoolPolicy(ready=0, most=1))
    counting.slow = 0.2
    waiting = asyncio.create_task(more(pool, 1))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await more(pool, 2) == [2]
    await pool.close()
    assert len(counting.made) == 1


async def test_numbers_that_are_none_and_nobody(pool):
    for wrong in ({"most": 0}, {"ready": 2, "most": 1}, {"idle_seconds": 0}, {"calls": 0}):
        with pytest.raises(InvalidInputError):
            PoolPolicy(**wrong)
    with pytest.raises(InvalidInputError, match="owner"):
        await more(pool, 1, owner="")
