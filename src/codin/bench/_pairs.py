"""What is measured of sandboxes: pairs of ways to get the same thing, each timed by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from statistics import median
from typing import Any

from codin.bench.base import Aimed, BenchError, BenchReport, Measure, Unavailable

MS, US = 1e3, 1e6
"""Of a second."""

Way = Callable[[], Awaitable[float]]
"""Does something so often that it can be told, and gives the figure of one time."""


class NotHere(Exception):
    """What is needed cannot be had on this machine; says how to get it."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure is to be, in words and as a test of it and its baseline."""

    text: str
    reached: Callable[[float, float], bool]


NO_AIM = Aim("", lambda *_: True)


def at_most(limit: float, unit: str) -> Aim:
    """No more than so much."""
    return Aim(f"at most {limit:g} {unit}", lambda value, _: value <= limit)


def at_least(limit: float, unit: str) -> Aim:
    """No less than so much."""
    return Aim(f"at least {limit:g} {unit}".rstrip(), lambda value, _: value >= limit)


def over_baseline(limit: float, unit: str) -> Aim:
    """No more than so much above what the baseline takes."""
    return Aim(f"baseline + {limit:g} {unit}", lambda value, other: value - other <= limit)


def times_baseline(limit: float) -> Aim:
    """No more than so many times the baseline."""
    return Aim(f"{limit:g} x baseline", lambda value, other: value <= limit * other)


@dataclass(frozen=True, slots=True)
class Pair:
    """One metric: ours and the baseline's way to it. ``once`` is for what takes long: one round.
    In each round both take so many ``turns``: what is near each other, in time as in size, is told
    apart by many short ones alone."""

    metric: str
    unit: str
    ours: Way
    baseline: str
    other: Way
    aim: Aim
    once: bool = False
    turns: int = 1


Groups = Mapping[Callable[[Any], AbstractAsyncContextManager[list[Pair]]], Sequence[str]]
"""What is measured together, with the names of its figures."""

OURS = "codin"


async def measured(pairs: Sequence[Pair], rounds: int, say: Callable[[str], None]) -> list[Aimed]:
    """Each pair's medians; who comes first changes from round to round."""
    measures = {pair.metric: Measure(pair.metric, pair.unit) for pair in pairs}
    for number in range(rounds):
        for pair in pairs:
            if pair.once and number:
                continue
            say(f"{pair.metric}, round {number + 1} of {1 if pair.once else rounds}")
            ways: Mapping[str, Way] = {OURS: pair.ours, pair.baseline: pair.other}
            for turn in range(pair.turns):
                for name in sorted(ways, reverse=bool((number + turn) % 2)):
                    measures[pair.metric].add(name, await ways[name]())
    return [_aimed(pair, measures[pair.metric]) for pair in pairs]


async def measured_groups(
    name: str, groups: Groups, effort: Any, rounds: int, say: Callable[[str], None]
) -> BenchReport:
    """What each group measures with ``effort``, ours and its baseline in turn. The figures of one
    that cannot be had here are told as such.

    Raises:
        BenchError: something gave a wrong answer.
    """
    results: list[Aimed] = []
    missing: list[Unavailable] = []
    for group, metrics in groups.items():
        try:
            async with group(effort) as pairs:
                results += await measured(pairs, rounds, say)
        except NotHere as why:
            missing += [Unavailable(metric, str(why)) for metric in metrics]
    return BenchReport(name, results, missing)


def _aimed(pair: Pair, measure: Measure) -> Aimed:
    found = measure.compared(OURS, pair.baseline)
    return Aimed(
        metric=found.metric,
        value=found.value,
        unit=found.unit,
        baseline=found.baseline,
        baseline_value=found.baseline_value,
        ratio=found.ratio,
        runs=found.runs,
        aim=pair.aim.text,
        reached=pair.aim.reached(found.value, found.baseline_value),
    )


async def typical(once: Callable[[], Awaitable[float]], times: int, factor: float) -> float:
    """The median of so many times, in parts of a second."""
    return median([await once() for _ in range(times)]) * factor


async def timed(work: Callable[[], Awaitable[object]], expected: object) -> float:
    """Seconds that ``work`` takes.

    Raises:
        BenchError: it gives something else than it has to.
    """
    began = time.perf_counter()
    found = await work()
    took = time.perf_counter() - began
    if found != expected:
        raise BenchError(f"a wrong answer: {found!r:.100}, not {expected!r:.100}")
    return took


async def rate(seconds: float, *works: Callable[[], Awaitable[object]]) -> float:
    """How often ``works`` are done in a second: each again and again, all at the same time."""
    began = time.perf_counter()

    async def repeated(work: Callable[[], Awaitable[object]]) -> int:
        count = 0
        while time.perf_counter() - began < seconds or not count:
            await work()
            count += 1
        return count

    counts = await asyncio.gather(*map(repeated, works))
    return sum(counts) / (time.perf_counter() - began)


async def first_output(*command: str) -> float:
    """Seconds from the start of a command of this machine to the first byte that it prints.

    Raises:
        BenchError: it prints something else than ``x``.
    """
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await process.stdout.read(1)
    took = time.perf_counter() - began
    _, complaints = await process.communicate()
    if said != b"x":
        raise BenchError(f"{command[0]} gave no output: {complaints.decode()[-500:]}")
    return took


async def whole_run(*command: str) -> float:
    """Seconds that a command of this machine takes, from its start to its end.

    Raises:
        BenchError: it fails.
    """
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await process.communicate()
    if process.returncode:
        raise BenchError(f"{command[0]} failed: {complaints.decode()[-500:]}")
    return time.perf_counter() - began
