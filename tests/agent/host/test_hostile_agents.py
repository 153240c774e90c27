"""A hostile agent in a host: contained, one clear end of its run, and the others go on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import Platform, platform

from codin.agent import Agent
from codin.agent.adapters.remote import run as remote_run
from codin.agent.events import END_EVENTS, AgentEvent, Completed, Failed
from codin.agent.host import AgentHost, process
from codin.agent.host.spec import HostLimits

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

HERE = Path(__file__).parent
LIMITS = HostLimits(memory_mb=400, processes=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder)) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def good(place: Platform) -> AgentHost:
    return await place.hosts.start([str(HERE / "puppet.py")])


@pytest_asyncio.fixture(loop_scope="module")
async def bad(place: Platform) -> AsyncIterator[AgentHost]:
    host = await place.hosts.start([str(HERE / "hostile.py")], limits=LIMITS)
    yield host
    await place.hosts.end(host)


@pytest.fixture
def hostile(bad: AgentHost) -> Agent:
    return bad.agents[0]


async def run(place: Platform, agent: Agent, words: str) -> list[AgentEvent]:
    """The events of a run, which has one end, as its last."""
    async with asyncio.timeout(60):
        events = [event async for event in await agent.handle(place.task(words))]
    assert [isinstance(event, END_EVENTS) for event in events].count(True) == 1
    assert isinstance(events[-1], END_EVENTS)
    return events


async def said(place: Platform, agent: Agent, words: str) -> str:
    return (await place.run(agent, words)).text


async def failed(place: Platform, agent: Agent, words: str) -> Failed:
    end = (await run(place, agent, words))[-1]
    assert isinstance(end, Failed)
    return end


async def the_others_go_on(place: Platform, good: AgentHost) -> None:
    async with asyncio.timeout(15):
        assert await said(place, good.agents[0], "add 1 2") == "3"
    assert good.starts == 1


async def test_it_reads_nothing_of_this_machine(place: Platform, hostile: Agent) -> None:
    handle, name = tempfile.mkstemp(prefix=".codin-test-", dir=Path.home())
    os.close(handle)
    try:
        for path in (name, "/etc/shadow", f"{place.socket.parent}/platform.sock"):
            assert "refused" in await said(place, hostile, f"read {path}")
        for folder in (Path.home(), place.socket.parent):
            assert Path(name).name not in await said(place, hostile, f"list {folder}")
    finally:
        Path(name).unlink()
    assert "got" in await said(place, hostile, "read /agents/0/host/hostile.py")  # it does try


async def test_it_dials_nowhere(place: Platform, hostile: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = f"127.0.0.1:{listening.getsockname()[1]}"
        assert "refused" in await said(place, hostile, f"dial {here}")
    assert "refused" in await said(place, hostile, "dial 1.1.1.1:443")


async def test_it_writes_nowhere_else(place: Platform, hostile: Agent) -> None:
    answers = (await said(place, hostile, "write")).splitlines()
    assert len(answers) == 5
    assert all(answer.startswith("refused") for answer in answers)
    assert not (HERE / "evil").exists()


async def test_it_fills_no_disk(place: Platform, hostile: Agent, good: AgentHost) -> None:
    room = os.statvfs(place.socket.parent)
    end = (await run(place, hostile, "fill"))[-1]
    assert isinstance(end, Failed)
    assert "disk" in end.message
    left = os.statvfs(place.socket.parent)
    assert (room.f_bavail - left.f_bavail) * room.f_frsize < 2 << 30
    await the_others_go_on(place, good)


async def test_a_fork_bomb_stays_in_its_host(
    place: Platform, bad: AgentHost, good: AgentHost
) -> None:
    exploding = asyncio.create_task(run(place, bad.agents[0], "bomb"))
    await asyncio.sleep(3)
    assert _count("codin.agent.host") < LIMITS.processes + 40  # type: ignore[operator]
    await the_others_go_on(place, good)
    [*_, end] = await exploding
    assert isinstance(end, Failed)
    assert await said(place, bad.agents[0], "nothing") == ""


async def test_it_kills_nobody_else(place: Platform, bad: AgentHost, good: AgentHost) -> None:
    assert "still here" in await said(place, bad.agents[0], "kill")
    await the_others_go_on(place, good)
    assert "refused" in await said(place, bad.agents[0], "read /etc/shadow")


async def test_memory_is_its_own(place: Platform, bad: AgentHost, good: AgentHost) -> None:
    end = await failed(place, bad.agents[0], "hog")
    assert (end.error_type, "memory" in end.message) == ("HostDied", True)
    await the_others_go_on(place, good)


async def test_threads_have_an_end(place: Platform, bad: AgentHost, good: AgentHost) -> None:
    told = await said(place, bad.agents[0], "threads")
    assert "can't start new thread" in told
    assert int(told.split()[1].rstrip(":")) <= 60
    await the_others_go_on(place, good)


async def test_it_does_not_go_on_after_its_end(
    place: Platform, bad: AgentHost, good: AgentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_run, "CANCEL_SECONDS", 0.5)
    begun = len(place.ticks)
    running = asyncio.create_task(run(place, bad.agents[0], "after"))
    async with asyncio.timeout(20):
        while len(place.ticks) < begun + 3:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    now = len(place.ticks)
    await asyncio.sleep(0.5)
    assert len(place.ticks) == now
    await the_others_go_on(place, good)


async def test_its_socket_is_not_exchanged_for_another(
    place: Platform, bad: AgentHost, short_dir: Path
) -> None:
    """Whatever it puts in its place, the platform talks to the host and nobody else."""
    asked: list[bytes] = []

    async def victim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_unix_server(victim, short_dir / "victim.sock")
    assert "swapped" in await said(place, bad.agents[0], f"swap {short_dir / 'victim.sock'}")
    assert await said(place, bad.agents[0], "callback") == "went on"
    state = await bad.state()
    assert state.status in {"ready", "silent"}
    assert asked == []
    server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def odd(place: Platform) -> AsyncIterator[AgentHost]:
    host = await place.hosts.start([str(HERE / "hostile.py")], name="odd")
    yield host
    await place.hosts.end(host)


async def test_one_that_is_only_odd(place: Platform, odd: AgentHost) -> None:
    agent = odd.agents[0]
    assert (await run(place, agent, "callback"))[-1] == Completed()
    assert "ZeroDivisionError" in "\n".join(await odd.logs())
    assert [type(event) for event in await run(place, agent, "nothing")] == [Completed]
    end = await failed(place, agent, "other")
    assert "not_there" in end.message
    assert odd.starts == 1


async def test_a_hundred_megabytes(place: Platform, odd: AgentHost, good: AgentHost) -> None:
    """Too much is one clear failure, and it does not become the platform's memory."""
    streaming = asyncio.create_task(run(place, odd.agents[0], "stream 100"))
    await asyncio.sleep(0.5)
    await the_others_go_on(place, good)
    end = (await streaming)[-1]
    assert isinstance(end, Failed)
    assert (end.error_type, "33,554,432 bytes" in end.message) == ("SaidTooMuch", True)
    assert odd.starts == 1
    assert await said(place, odd.agents[0], "callback") == "went on"


async def test_one_that_blocks_its_loop_is_ended(
    place: Platform, odd: AgentHost, good: AgentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(process, "SILENT_SECONDS", 1.0)
    watched = await place.hosts.start([str(HERE / "hostile.py")], name="watched")
    blocking = asyncio.create_task(run(place, watched.agents[0], "block"))
    await asyncio.sleep(1.0)
    state = await watched.state()
    assert state.status == "silent"
    assert "does not answer" in state.reason
    await the_others_go_on(place, good)
    [*_, end] = await blocking
    assert isinstance(end, Failed)
    assert end.error_type == "HostDied"
    assert await said(place, watched.agents[0], "callback") == "went on"
    assert watched.starts == 2
    assert (await watched.state()).status == "ready"
    await place.hosts.end(watched)


async def test_one_that_died_is_started_again_before_it_is_asked(
    place: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.2)
    host = await place.hosts.start([str(HERE / "hostile.py")], name="restarted")
    await failed(place, host.agents[0], "die")
    async with asyncio.timeout(30):
        while host.starts < 2 or (await host.state()).status != "ready":
            await asyncio.sleep(0.1)
    await place.hosts.end(host)


async def test_a_crash_loop_is_told(place: Platform) -> None:
    host = await place.hosts.start([str(HERE / "hostile.py")], name="looping")
    for _ in range(process.CRASHES):
        await failed(place, host.agents[0], "die")
    end = await failed(place, host.agents[0], "nothing")
    assert end.error_type == "HostCrashLoop"
    state = await host.state()
    assert state.status == "failed"
    assert f"died {process.CRASHES} times" in state.reason
    await place.hosts.end(host)


async def test_nothing_is_left_after_the_gateway_was_killed(short_dir: Path) -> None:
    """``kill -9``, with what the agent had put into the background."""
    mark = f"orphan-{os.getpid()}-{time.time_ns()}"
    script = short_dir / "gateway.py"
    script.write_text(
        f"import asyncio, sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\nfrom host_platform import platform\n"
        "async def main():\n"
        f"    async with platform(Path({str(short_dir)!r})) as place:\n"
        f"        host = await place.hosts.start([{str(HERE / 'hostile.py')!r}])\n"
        f"        task = place.task('leave {mark} 600')\n"
        "        async for event in await host.agents[0].handle(task):\n"
        "            print('left', flush=True)\n"
        "asyncio.run(main())\n"
    )
    gateway = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    try:
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == "left\n"
        assert _count(mark) > 0
    finally:
        gateway.send_signal(signal.SIGKILL)
        gateway.wait()
    async with asyncio.timeout(10):
        while _count(mark) or _count(str(short_dir)):
            await asyncio.sleep(0.1)


def _count(words: str) -> int:
    """The processes whose command line has ``words`` in it."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += words.encode() in path.read_bytes()
        except OSError:
            continue
    return found
