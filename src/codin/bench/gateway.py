"""`codin bench gateway`: the gateway beside a plain server of the A2A SDK, in one run."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from codin.bench._programs import Load, Server, announced, program
from codin.bench.base import BenchError, BenchReport, Compared, Measure

PLAIN = "a2a-sdk"
"""The baseline: the SDK's default handler over its store in memory, without auth."""

CODIN = "codin"
"""With what it has by default: what it acknowledged survives the death of its process."""

FULL = "codin, full"
"""What it acknowledged survives a loss of power too."""

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
    writes: bool = True


def _metrics(effort: Effort) -> list[_Metric]:
    return [
        *(
            _Metric(f"send c={n}", "1/s", "send", {"connections": n, "seconds": effort.seconds})
            for n in (1, 16, 64)
        ),
        _Metric(
            "get c=16", "1/s", "get", {"connections": 16, "seconds": effort.seconds}, writes=False
        ),
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
        for number, (name, start) in enumerate(_SERVERS.items()):
            folder = room / f"rates-{number}"
            servers[name] = await stack.enter_async_context(start(folder))
        for number in range(effort.rounds):
            say(f"round {number + 1} of {effort.rounds}")
            for metric in metrics:
                for name in _turn(list(servers), number):
                    if name == FULL and not metric.writes:
                        continue
                    value = await load.measure(servers[name], metric.do, **metric.job)
                    measures[metric.name].add(name, value)
    return [found for one in measures.values() for found in _compared(one)]


async def _memory(effort: Effort, say: Say, room: Path, load: Load) -> list[Compared]:
    idle, streams = Measure("rss idle", "MB"), Measure("rss per 1000 streams", "MB")
    for number in range(effort.memory_rounds):
        for name in (CODIN, PLAIN):
            start = _SERVERS[name]
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
    found = [measure.compared(CODIN, PLAIN)]
    if FULL in measure.rounds:
        found.append(measure.compared(FULL, PLAIN, metric=f"{measure.metric} (full)"))
    return found


@asynccontextmanager
async def _load(room: Path) -> AsyncIterator[Load]:
    log = room / "load.log"
    async with program(["-m", "codin.bench._load"], log) as process:
        yield Load(process, log)


@asynccontextmanager
async def _codin(folder: Path, durability: str = "process") -> AsyncIterator[Server]:
    """`codin up` as in production, with an agent of the operator's own in its process: who calls
    shows a key, may or may not, and is written down; the log is a file."""
    config, log = _settings(folder, durability), folder / "log"
    key = await _key(config, log)
    # A model has to be named, and is never asked.
    env = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    arguments = ["-m", "codin", "up", "--config", str(config), "--model", "openai:none"]
    async with program([*arguments, "--port", "0"], log, env) as process:
        url = await announced(process, "codin is at ", log)
        headers = {"Authorization": f"Bearer {key}"}
        yield Server(f"{url}/agents/echo/", headers, process.pid)


def _settings(folder: Path, durability: str) -> Path:
    folder.mkdir()
    config = folder / "codin.toml"
    config.write_text(
        f"home = {json.dumps(str(folder / 'home'))}\n"
        f'[database]\ndurability = "{durability}"\n[security]\nauth = true\n'
        f'[[agents]]\nsource = "{_AGENT}"\nid = "echo"\nisolation = "process"\n',
        encoding="utf-8",
    )
    return config


async def _key(config: Path, log: Path) -> str:
    arguments = ["--config", str(config), "--subject", "bench", "--role", "owner"]
    async with program(["-m", "codin", "auth", "key", "add", *arguments], log) as process:
        said, _ = await process.communicate()
    if process.returncode:
        raise BenchError("there is no key to call with: see codin auth key add")
    return said.decode().strip()


@asynccontextmanager
async def _plain(folder: Path) -> AsyncIterator[Server]:
    log = folder.with_suffix(".log")
    # Its spans cost it a sixth, and nobody collects them.
    env = {"OTEL_INSTRUMENTATION_A2A_SDK_ENABLED": "false"}
    async with program(["-m", "codin.bench._plain"], log, env) as process:
        url = await announced(process, "the plain server is at ", log)
        yield Server(f"{url}/", {}, process.pid)


_SERVERS: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Server]]] = {
    CODIN: _codin,
    FULL: partial(_codin, durability="full"),
    PLAIN: _plain,
}


def run(effort: Effort, say: Say) -> BenchReport:
    """``bench_gateway`` for code that has no loop."""
    return asyncio.run(bench_gateway(effort, say))
