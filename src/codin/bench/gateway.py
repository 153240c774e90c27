"""`codin bench gateway`: the gateway beside a plain server of the A2A SDK, in one run."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codin.bench._programs import Load, Server, announced, program
from codin.bench.base import BenchReport, Compared, Measure

PLAIN = "a2a-sdk"
"""The baseline: the SDK's default handler over its store in memory, without auth."""

CODIN = "codin"

Say = Callable[[str], None]

_AGENT = "codin.bench._agent:agent"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: ``seconds`` a round of a rate, streams of ``events`` artifacts,
    ``firsts`` streams for a first event, ``held`` open streams for their memory."""

    rounds: int = 7
    seconds: float = 1.0
    events: int = 200
    firsts: int = 40
    held: int = 1000
    memory_rounds: int = 1


QUICK = Effort(rounds=1, seconds=0.2, events=20, firsts=3, held=20)
"""To see that it works; its figures say nothing."""


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    unit: str
    do: str
    job: Mapping[str, Any] = field(default_factory=dict)


def _metrics(effort: Effort) -> list[_Metric]:
    return [
        *(
            _Metric(f"send c={n}", "1/s", "send", {"connections": n, "seconds": effort.seconds})
            for n in (1, 16, 64)
        ),
        _Metric("get c=16", "1/s", "get", {"connections": 16, "seconds": effort.seconds}),
        _Metric("first event", "ms", "first event", {"count": effort.firsts}),
        _Metric("events 1 stream", "1/s", "events", {"connections": 1, "count": effort.events}),
        _Metric("events 16 streams", "1/s", "events", {"connections": 16, "count": effort.events}),
    ]


async def bench_gateway(effort: Effort, say: Say) -> BenchReport:
    """Measure everything, round by round in turn, so that what else the machine does meanwhile
    falls on all alike.

    Raises:
        BenchError: a server did not come up, or gave a wrong answer.
    """
    with tempfile.TemporaryDirectory(prefix="codin-bench-", ignore_cleanup_errors=True) as folder:
        room = Path(folder)
        async with _load(room) as load:
            results = await _rates(effort, say, room, load)
            results += await _memory(effort, say, room, load)
    return BenchReport("gateway", results)


async def _rates(effort: Effort, say: Say, room: Path, load: Load) -> list[Compared]:
    metrics = _metrics(effort)
    measures = {one.name: Measure(one.name, one.unit) for one in metrics}
    async with AsyncExitStack() as stack:
        servers = {}
        for name, start in _SERVERS.items():
            folder = room / f"rates-{name}"
            servers[name] = await stack.enter_async_context(start(folder))
        for number in range(effort.rounds):
            say(f"round {number + 1} of {effort.rounds}")
            for metric in metrics:
                for name in _turn(list(servers), number):
                    value = await load.measure(servers[name], metric.do, **metric.job)
                    measures[metric.name].add(name, value)
    return [found for one in measures.values() for found in _compared(one)]


async def _memory(effort: Effort, say: Say, room: Path, load: Load) -> list[Compared]:
    idle, streams = Measure("rss idle", "MB"), Measure("rss per 1000 streams", "MB")
    for number in range(effort.memory_rounds):
        for name, start in _SERVERS.items():
            say(f"memory of {name}, {effort.held} streams")
            async with start(room / f"memory-{name}-{number}") as server:
                # what is loaded with the first of them is no stream's
                await load.measure(server, "first event", count=3)
                before = await server.resident_mb()
                await load.measure(server, "hold", connections=effort.held)
                held = await server.resident_mb() - before
                await load.measure(server, "let go")
            idle.add(name, before)
            streams.add(name, held * 1000 / effort.held)
    return [*_compared(idle), *_compared(streams)]


def _turn(names: Sequence[str], number: int) -> list[str]:
    """Each begins in turn."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def _compared(measure: Measure) -> list[Compared]:
    return [measure.compared(CODIN, PLAIN)]


@asynccontextmanager
async def _load(room: Path) -> AsyncIterator[Load]:
    log = room / "load.log"
    async with program(["-m", "codin.bench._load"], log) as process:
        yield Load(process, log)


@asynccontextmanager
async def _codin(folder: Path) -> AsyncIterator[Server]:
    """`codin up`, as anybody runs it, with an agent of the operator's own in its process."""
    config, log = _settings(folder), folder / "log"
    # A model has to be named, and is never asked.
    env = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    arguments = ["-m", "codin", "up", "--config", str(config), "--model", "openai:none"]
    async with program([*arguments, "--port", "0"], log, env) as process:
        url = await announced(process, "codin is at ", log)
        yield Server(f"{url}/agents/echo/", {}, process.pid)


def _settings(folder: Path) -> Path:
    folder.mkdir()
    config = folder / "codin.toml"
    config.write_text(
        f"home = {json.dumps(str(folder / 'home'))}\n"
        f'[[agents]]\nsource = "{_AGENT}"\nid = "echo"\nisolation = "process"\n',
        encoding="utf-8",
    )
    return config


@asynccontextmanager
async def _plain(folder: Path) -> AsyncIterator[Server]:
    log = folder.with_suffix(".log")
    # Its spans cost it a sixth, and nobody collects them.
    env = {"OTEL_INSTRUMENTATION_A2A_SDK_ENABLED": "false"}
    async with program(["-m", "codin.bench._plain"], log, env) as process:
        url = await announced(process, "the plain server is at ", log)
        yield Server(f"{url}/", {}, process.pid)


_SERVERS: Mapping[str, Callable[[Path], Any]] = {CODIN: _codin, PLAIN: _plain}


def run(effort: Effort, say: Say) -> BenchReport:
    """``bench_gateway`` for code that has no loop."""
    return asyncio.run(bench_gateway(effort, say))
