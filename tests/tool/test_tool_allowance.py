"""What one principal may have of one tool: calls at once, and calls within a minute."""

import asyncio

import pytest
from quick_executor import Quick, Scripted

from codin.security import LOCAL_USER, Principal
from codin.tool import ExecutorSettings, ToolBusy, ToolLimits, ToolSpec
from codin.tool.execution.allowance import Allowances

OTHER = Principal("local", "other", roles=frozenset({"owner"}))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def spec(**limits: int) -> ToolSpec:
    return ToolSpec(name="slow", limits=ToolLimits(**limits))


async def test_so_many_within_any_minute() -> None:
    clock = Clock()
    allowances, limited = Allowances(clock=clock), spec(per_minute=3)

    async def call(who: Principal = LOCAL_USER) -> None:
        async with allowances.taken(limited, who):
            pass

    for _ in range(3):
        await call()
        clock.now += 10
    with pytest.raises(
        ToolBusy, match=r"slow: 3 calls within a minute .* again in 30 sec"
    ) as caught:
        await call()
    assert caught.value.seconds == 30
    await call(OTHER)
    clock.now += 29.9
    with pytest.raises(ToolBusy, match="in 1 seconds"):
        await call()
    clock.now += 0.1
    await call()
    with pytest.raises(ToolBusy, match="in 10 seconds"):
        await call()


async def test_a_refused_call_does_not_count() -> None:
    clock = Clock()
    allowances, limited = Allowances(clock=clock), spec(per_minute=1)
    async with allowances.taken(limited, LOCAL_USER):
        pass
    for _ in range(5):
        with pytest.raises(ToolBusy):
            await allowances.taken(limited, LOCAL_USER).__aenter__()
    clock.now += 60
    async with allowances.taken(limited, LOCAL_USER):
        pass


async def test_accounts_of_those_who_are_gone_are_forgotten() -> None:
    clock = Clock()
    allowances, limited = Allowances(clock=clock), spec(per_minute=5, concurrency=2)
    for number in range(1024):
        async with allowances.taken(limited, Principal("local", f"user-{number}")):
            pass
    assert len(allowances._accounts) == 1024
    clock.now += 61
    async with allowances.taken(limited, LOCAL_USER):
        assert len(allowances._accounts) == 1


async def test_a_call_waits_for_its_turn_and_only_so_long() -> None:
    running = most = 0
    go = asyncio.Event()

    async def work(call: object) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1
        return running

    tool = Scripted(work, name="slow", limits=ToolLimits(concurrency=2))
    quick = Quick(tool, settings=ExecutorSettings(patience_seconds=0.1))
    calls = [asyncio.create_task(quick.call("slow", {})) for _ in range(3)]
    others = asyncio.create_task(quick.call("slow", {}, principal=OTHER))
    done, waiting = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    (busy,) = (task.result() for task in done)
    assert busy.error_type == "ToolBusy"
    assert "2 calls at once" in busy.text
    assert len(waiting) == 2
    assert running == 3
    go.set()
    assert [(await task).is_error for task in (*waiting, others)] == [False] * 3
    calls = [asyncio.create_task(quick.call("slow", {})) for _ in range(6)]
    assert [(await task).is_error for task in calls] == [False] * 6


async def test_whoever_is_canceled_while_waiting_takes_no_place() -> None:
    go = asyncio.Event()

    async def work(call: object) -> str:
        await go.wait()
        return "done"

    tool = Scripted(work, name="slow", limits=ToolLimits(concurrency=1))
    quick = Quick(tool)
    first = asyncio.create_task(quick.call("slow", {}))
    second = asyncio.create_task(quick.call("slow", {}))
    await asyncio.sleep(0.02)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert (await quick.call("slow", {})).value == "done"
    assert len(tool.calls) == 2


async def test_a_goal_that_waits_takes_no_place_of_others() -> None:
    go = asyncio.Event()

    async def work(call: object) -> str:
        await go.wait()
        return "slow"

    narrow = Scripted(work, name="slow", limits=ToolLimits(concurrency=1))
    quick = Quick(narrow, Scripted("quick", name="quick"), settings=ExecutorSettings(calls=2))
    calls = [asyncio.create_task(quick.call("slow", {})) for _ in range(8)]
    await asyncio.sleep(0.02)
    async with asyncio.timeout(2):
        assert (await quick.call("quick", {})).value == "quick"
    go.set()
    assert {(await task).value for task in calls} == {"slow"}
