"""The process of a host is started again when it died, within reason, and never by guessing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codin.agent.host.process import CRASH_WINDOW_SECONDS, CRASHES, HostProcess
from codin.agent.host.server import Server
from codin.agent.host.spec import HostSpec
from codin.agent.host.wire import MAX_LISTING, HostCrashLoop, HostStartError
from codin.runtime.base import Deployment, Health, RuntimeFailure, Service

pytestmark = pytest.mark.slow

GOOD = b'{"agents": [{"id": "a", "name": "A"}], "problems": []}'


class Running(Deployment):
    """A server in this process that answers as a host would."""

    def __init__(self, run_dir: str, listing: bytes) -> None:
        self.service = Service(name="h", argv=(), run_dir=run_dir)
        self.endpoint = f"{run_dir}/service.sock"
        self.alive = True
        self.stops = 0

        async def agents(request: Any) -> Response:
            return Response(listing, media_type="application/json")

        async def runs(request: Any) -> Response:
            return JSONResponse({"tasks": self.tasks})

        self.tasks: list[str] = []
        self._server = Server(Starlette(routes=[Route("/agents", agents), Route("/runs", runs)]))

    async def start(self) -> Deployment:
        door = socket.socket(socket.AF_UNIX)
        door.bind(self.endpoint)
        self._serving = asyncio.create_task(self._server.serve(sockets=[door]))
        while not self._server.started:
            await asyncio.sleep(0.005)
        return self

    @property
    def ended(self) -> bool:
        return not self.alive

    async def health(self) -> Health:
        return "healthy" if self.alive else "stopped"

    async def logs(self, *, follow: bool = False) -> AsyncIterator[str]:
        yield "Traceback (most recent call last):"
        yield "MemoryError: all of it"

    def close(self) -> None:
        self._server.should_exit = self._server.force_exit = True

    async def hang_up(self) -> None:
        """Answer no more, without having died."""
        self.close()
        await self._serving

    async def die(self) -> None:
        self.alive = False
        await self.hang_up()

    async def stop(self) -> None:
        self.stops += 1
        if self.alive:
            await self.die()


class Deployer:
    def __init__(self, listing: bytes = GOOD) -> None:
        self.listing = listing
        self.made: list[Running] = []
        self.error: Exception | None = None

    async def __call__(self, spec: HostSpec, run_dir: str) -> Deployment:
        if self.error is not None:
            raise self.error
        self.made.append(Running(run_dir, self.listing))
        return await self.made[-1].start()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def deployer() -> Deployer:
    return Deployer()


@pytest.fixture
async def process(
    short_dir: Path, deployer: Deployer, clock: list[float]
) -> AsyncIterator[HostProcess]:
    spec = HostSpec("h", ("a.py",))
    process = HostProcess(spec, deployer, run_root=short_dir, clock=lambda: clock[0])
    yield process
    await process.stop()


async def test_it_is_started_once_for_many(process: HostProcess, deployer: Deployer) -> None:
    got = await asyncio.gather(*(process.ensure() for _ in range(5)))
    assert {id(one) for one in got} == {id(deployer.made[0])}
    assert [agent.id for agent in process.listing.agents] == ["a"]


async def test_a_dead_one_is_replaced(process: HostProcess, deployer: Deployer) -> None:
    first = await process.ensure()
    await deployer.made[0].die()
    assert await process.is_gone(first)
    second = await process.ensure()
    assert second is deployer.made[1]
    assert deployer.made[0].stops == 1
    assert process.starts == 2


async def test_its_death_is_told_with_its_last_lines(process: HostProcess) -> None:
    died = await process.death_of(await process.ensure())
    assert "'h'" in str(died)
    assert "MemoryError: all of it" in str(died)


async def test_a_crash_loop_is_not_fed(
    process: HostProcess, deployer: Deployer, clock: list[float]
) -> None:
    for number in range(CRASHES):
        await process.ensure()
        await deployer.made[number].die()
    with pytest.raises(HostCrashLoop, match=rf"died {CRASHES} times.*\n?.*"):
        await process.ensure()
    assert process.starts == CRASHES
    clock[0] += CRASH_WINDOW_SECONDS + 1
    await process.ensure()
    assert process.starts == CRASHES + 1


async def test_deaths_far_apart_are_no_loop(
    process: HostProcess, deployer: Deployer, clock: list[float]
) -> None:
    for number in range(CRASHES * 2):
        await process.ensure()
        await deployer.made[number].die()
        clock[0] += CRASH_WINDOW_SECONDS
    assert process.starts == CRASHES * 2


async def test_a_host_that_does_not_get_ready_says_why(
    process: HostProcess, deployer: Deployer
) -> None:
    deployer.error = RuntimeFailure("it ended with exit code 1: ModuleNotFoundError: agno")
    for _ in range(CRASHES):
        with pytest.raises(HostStartError, match="ModuleNotFoundError: agno"):
            await process.ensure()
    with pytest.raises(HostCrashLoop, match="ModuleNotFoundError: agno"):
        await process.ensure()


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>",
        b'{"agents": [{"id": "../etc", "name": "x"}]}',
        b'{"agents": [{"id": "a", "name": "' + b"x" * 300 + b'"}]}',
        b'{"agents": [{"id": "a", "name": "A"}, {"id": "a", "name": "B"}]}',
        b" " * (MAX_LISTING + 1),
    ],
)
async def test_a_listing_is_not_believed(short_dir: Path, listing: bytes) -> None:
    deployer = Deployer(listing)
    process = HostProcess(HostSpec("h", ("a.py",)), deployer, run_root=short_dir)
    with pytest.raises(HostStartError, match="list of agents"):
        await process.ensure()
    assert deployer.made[0].stops == 1
    await process.stop()


async def test_after_the_end_nothing_starts_and_nothing_is_left(
    process: HostProcess, deployer: Deployer, short_dir: Path
) -> None:
    await process.ensure()
    await process.stop()
    await process.stop()
    assert deployer.made[0].stops == 1
    assert list(short_dir.iterdir()) == []
    with pytest.raises(HostStartError, match="was stopped"):
        await process.ensure()


async def test_a_canceled_run_that_goes_on_is_ended_with_its_host(
    process: HostProcess, deployer: Deployer
) -> None:
    deployment = await process.ensure()
    deployer.made[0].tasks = ["other"]
    await process.end_unless_over(deployment, "mine")
    assert deployer.made[0].stops == 0
    deployer.made[0].tasks = ["other", "mine"]
    assert (await process.state()).status == "ready"
    await process.end_unless_over(deployment, "mine")
    assert deployer.made[0].stops == 1
    state = await process.state()
    assert (state.status, "the next task starts it" in state.reason) == ("stopped", True)
    await process.ensure()
    assert (await process.state()).status == "ready"


async def test_a_host_that_does_not_answer_is_ended(
    process: HostProcess, deployer: Deployer
) -> None:
    deployment = await process.ensure()
    await deployer.made[0].hang_up()
    await process.end_unless_over(deployment, "mine")
    assert deployer.made[0].stops == 1
