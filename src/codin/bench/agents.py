"""`codin bench agents`: agents as the platform runs them, beside their frameworks alone, in one
run and with the same scripted model."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import codin
from codin.agent.events import TextDelta
from codin.agent.frameworks import FRAMEWORKS
from codin.agent.host import AgentHost
from codin.agent.host.packages import own_requirements
from codin.agent.response import AgentResponse
from codin.bench._hosts import Hosts, hosts
from codin.bench._pairs import NO_AIM, Pair, at_least, measured, over_baseline
from codin.bench._turns import SAID
from codin.bench._warm import descendants, resident
from codin.bench.base import Aimed, BenchError, BenchReport, Unavailable

Say = Callable[[str], None]

NAMES = ("langgraph", "adk", "agno", "crewai")
IN_PROCESS_MS = 5.0
IN_HOST_MS = 10.0
EVENTS = 5_000.0
_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured in a round: so many ``turns`` of each agent each way, ``events`` of one
    that only talks."""

    rounds: int = 3
    turns: int = 30
    events: int = 20_000


QUICK = Effort(rounds=1, turns=2, events=500)
"""To see that it works; its figures say nothing."""


async def bench_agents(effort: Effort, say: Say, names: Sequence[str] = NAMES) -> BenchReport:
    """Measure the agents of the frameworks ``names``, ours and the framework alone in turn.

    Raises:
        BenchError: something gave a wrong answer.
    """
    results: list[Aimed] = []
    missing: list[Unavailable] = []
    async with _model() as url, hosts(url) as place:
        for name in names:
            framework = FRAMEWORKS[name]
            if not framework.apart and not framework.installed:
                missing.append(Unavailable(name, framework.missing(framework.modules[0])))
                continue
            async with _subject(name, url, place, effort) as subject:
                results += await measured(subject.pairs(), effort.rounds, say)
        events = _Events(place, effort.events)
        results += await measured([events.pair()], effort.rounds, say)
    return BenchReport("agents", results, missing)


def run(effort: Effort, say: Say, names: Sequence[str] = NAMES) -> BenchReport:
    """``bench_agents`` for code that has no loop."""
    from codin.loop import run as run_loop

    return run_loop(bench_agents(effort, say, names))


class _Subject:
    """One agent, in its framework's environment: without the platform, wrapped, and in a host."""

    def __init__(
        self,
        name: str,
        program: Sequence[str],
        env: dict[str, str],
        place: Hosts,
        effort: Effort,
    ) -> None:
        self.name = name
        self._program = program
        self._env = env
        self._place = place
        self._turns = effort.turns
        self._found: dict[str, float] = {}
        self._host: AgentHost | None = None

    def pairs(self) -> list[Pair]:
        title = FRAMEWORKS[self.name].title
        alone = f"{title} alone"
        return [
            Pair(
                f"{self.name} in process",
                "ms",
                lambda: self._turn("wrapped"),
                alone,
                lambda: self._turn("direct"),
                over_baseline(IN_PROCESS_MS, "ms"),
            ),
            Pair(
                f"{self.name} in host",
                "ms",
                self._hosted,
                alone,
                self._alone,
                over_baseline(IN_HOST_MS, "ms"),
            ),
            Pair(f"{self.name} host ready", "ms", self._ready, "import", self._import, NO_AIM),
            Pair(f"{self.name} host rss", "MB", self._rss, "import", self._import_rss, NO_AIM),
        ]

    async def _turn(self, way: str) -> float:
        """Of a run that measures both ways in turn: each is asked for once a round."""
        if way not in self._found:
            code = ("-m", "codin.bench._turns", self.name, str(self._turns))
            self._found = json.loads((await self._run(code)).splitlines()[-1])
        return self._found.pop(way)

    async def _alone(self) -> float:
        self._found.pop("wrapped", None)
        return await self._turn("direct")

    async def _hosted(self) -> float:
        host = await self._started()
        took = []
        for number in range(self._turns + 1):
            began = time.perf_counter()
            outcome = await self._place.ask(host.agents[0], f"question {number}")
            took.append(time.perf_counter() - began)
            if outcome.text != SAID:
                raise BenchError(f"{self.name} in a host: a wrong answer: {outcome!r:.300}")
        return 1e3 * median(took[1:])

    async def _ready(self) -> float:
        await self.stop()
        began = time.perf_counter()
        await self._started()
        return 1e3 * (time.perf_counter() - began)

    async def _rss(self) -> float:
        await self.stop()
        before = descendants()
        await self._started()
        return sum(map(resident, descendants() - before))

    async def _import(self) -> float:
        began = time.perf_counter()
        await self._run(("-c", self._importing()))
        return 1e3 * (time.perf_counter() - began)

    async def _import_rss(self) -> float:
        code = f"{self._importing()}; print('ready', flush=True); input()"
        process = await asyncio.create_subprocess_exec(
            *(*self._program, "-c", code),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._env,
        )
        try:
            assert process.stdout is not None
            while (line := await process.stdout.readline()) and line != b"ready\n":
                pass
            return resident(process.pid)
        finally:
            process.kill()
            await process.communicate()

    def _importing(self) -> str:
        """What a program of the framework's own imports."""
        return {
            "langgraph": "import langchain.agents, langchain_openai",
            "adk": "import google.adk.agents, google.adk.runners, google.adk.integrations.openai",
            "agno": "import agno.agent, agno.models.openai",
            "crewai": "import crewai",
        }[self.name]

    async def _started(self) -> AgentHost:
        if self._host is None:
            apart = FRAMEWORKS[self.name].apart
            self._host = await self._place.start(self.name, apart)
        return self._host

    async def stop(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await host.stop()

    async def _run(self, arguments: Sequence[str]) -> str:
        process = await asyncio.create_subprocess_exec(
            *(*self._program, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                said, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise BenchError(f"{self.name} alone failed: {complaints.decode()[-2000:]}")
        return said.decode()


@asynccontextmanager
async def _subject(name: str, url: str, place: Hosts, effort: Effort) -> AsyncIterator[_Subject]:
    env = {
        **os.environ,
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_BASE": url,
        "OTEL_SDK_DISABLED": "true",
        "CREWAI_DISABLE_TELEMETRY": "true",
    }
    async with AsyncExitStack() as stack:
        program: tuple[str, ...] = (sys.executable,)
        if apart := FRAMEWORKS[name].apart:
            from codin.sandbox.packages import PackageLayers

            layers = PackageLayers()
            stack.callback(layers.close)
            layer = await layers.get([*apart, *own_requirements()])
            env["PYTHONPATH"] = f"{Path(codin.__file__).parent.parent}:{layer}"
            program = (sys.executable, "-S")
        subject = _Subject(name, program, env, place, effort)
        stack.push_async_callback(subject.stop)
        yield subject


class _Events:
    """What comes through from an agent that only talks: out of a host, and over A2A as the SDK
    serves it."""

    def __init__(self, place: Hosts, count: int) -> None:
        self._place = place
        self._count = count

    def pair(self) -> Pair:
        aim = at_least(EVENTS, "events/s")
        return Pair("host events", "events/s", self._hosted, "a2a-sdk", self._served, aim)

    async def _hosted(self) -> float:
        host = await self._place.start("events")
        try:
            return await self._rate(lambda: host.agents[0].handle(self._place.task(self._words)))
        finally:
            await host.stop()

    async def _served(self) -> float:
        from codin.agent import wrap
        from codin.bench.subjects.events import agent
        from codin.testing.a2a_server import A2AServer

        async with A2AServer(agent).serve() as url:
            remote = wrap(url)
            return await self._rate(lambda: remote.handle(self._place.task(self._words)))

    @property
    def _words(self) -> str:
        return str(self._count)

    async def _rate(self, handle: Callable[[], Awaitable[AgentResponse]]) -> float:
        began = time.perf_counter()
        pieces = [e.text async for e in await handle() if isinstance(e, TextDelta)]
        took = time.perf_counter() - began
        if "".join(pieces) != "".join(f"{number} " for number in range(self._count)):
            raise BenchError(f"of {self._count} words not all came: {len(pieces)} pieces")
        return self._count / took


@asynccontextmanager
async def _model() -> AsyncIterator[str]:
    """The model that everybody asks, in a process of its own."""
    from codin.bench._programs import announced, program

    log = Path(os.devnull)
    async with program(("-m", "codin.bench._model"), log) as process:
        yield await announced(process, "the model is at ", log)
