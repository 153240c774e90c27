"""A real host in the real sandbox: what an agent in it can do, and what it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import PROVIDER_KEY, Platform, platform

from codin.agent import Agent
from codin.agent.a2a import user_message
from codin.agent.adapters.remote import run as remote_run
from codin.agent.events import (
    AgentEvent,
    Canceled,
    Completed,
    Failed,
    InputRequest,
    TextDelta,
    TextFinal,
)
from codin.agent.host import AgentHost, AgentHosts, HostStartError, process
from codin.agent.host.launcher import HOST_LIMITS
from codin.sandbox.base import MIB

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUPPET = Path(__file__).with_name("puppet.py")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Platform]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory("", "cd-") as folder:
        # What the platform's own environment may hold must not get in.
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "SOME_SECRET"):
            patch.setenv(name, PROVIDER_KEY)
        async with platform(Path(folder)) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(place: Platform) -> AgentHost:
    return await place.hosts.start([str(PUPPET)])


@pytest.fixture
def puppet(host: AgentHost) -> Agent:
    return host.agents[0]


async def test_it_says_what_it_is_and_the_platform_where(host: AgentHost) -> None:
    info = host.agents[0].info
    assert (info.id, info.name, info.tools) == ("puppet", "puppet", ("add", "tick"))
    assert (info.framework, info.isolation, info.trusted) == ("function", "host", False)
    assert isinstance(host.agents[0], Agent)
    assert host.problems == ()
    assert "puppet: imported" in await host.logs()


async def test_a_tool_is_called_through_the_host_api(place: Platform, puppet: Agent) -> None:
    outcome = await place.run(puppet, "add 2 40")
    assert (outcome.end, outcome.text) == (Completed(), "42")
    assert place.added[-1] == (2, 40)


async def test_a_run_has_the_tools_of_its_grant_only(place: Platform, puppet: Agent) -> None:
    assert (await place.run(puppet, "tools", tools=["add"])).text == '["add"]'
    assert (await place.run(puppet, "tools", tools=[])).text == "[]"


async def test_the_task_is_the_platforms(place: Platform, puppet: Agent) -> None:
    task = place.task("who", history=[user_message("before"), user_message("and before that")])
    outcome = await (await puppet.handle(task))
    who, said, metadata = json.loads(outcome.text)
    assert who == [task.id, "context", "local", "local"]
    assert said == ["before", "and before that"]
    assert metadata == []


async def test_models_are_reached_through_the_proxy_and_metered(
    place: Platform, puppet: Agent
) -> None:
    task = place.task("ask what is it")
    outcome = await (await puppet.handle(task))
    assert outcome.text == "forty-two"
    assert place.model.requests[-1].last_user == "what is it"
    assert place.meter.tokens(task.id) > 0


async def test_runs_side_by_side_are_metered_apart(place: Platform, puppet: Agent) -> None:
    tasks = [place.task(f"ask number {n}") for n in range(4)]
    outcomes = await asyncio.gather(*[await puppet.handle(task) for task in tasks])
    assert [outcome.text for outcome in outcomes] == ["forty-two"] * 4
    assert [len(place.meter.usage(task.id)) for task in tasks] == [1] * 4


async def test_no_key_of_a_provider_is_inside(place: Platform, puppet: Agent) -> None:
    seen = (await place.run(puppet, "environment")).text
    assert "OPENAI_BASE_URL" in seen  # it did look
    assert PROVIDER_KEY not in seen
    assert "SOME_SECRET" not in seen


async def test_no_connection_can_be_opened(place: Platform, puppet: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()  # it is there, for others
        inside = await place.run(puppet, f"connect 127.0.0.1 {port}")
    outside = await place.run(puppet, "connect 1.1.1.1 443")
    assert inside.text.startswith("refused:")
    assert outside.text.startswith("refused:")


@pytest.fixture
def file_at_home() -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix=".codin-test-", dir=Path.home())
    os.write(handle, b"private")
    os.close(handle)
    yield Path(name)
    Path(name).unlink()


async def test_no_file_of_the_home_can_be_read(
    place: Platform, puppet: Agent, file_at_home: Path
) -> None:
    assert (await place.run(puppet, f"read {file_at_home}")).text.startswith("refused:")
    assert (await place.run(puppet, "read /etc/shadow")).text.startswith("refused:")
    assert (
        "puppet" in (await place.run(puppet, "read /agents/0/host/puppet.py")).text
    )  # it can read


async def test_the_agents_own_files_cannot_be_changed(place: Platform, puppet: Agent) -> None:
    for path in ("/agents/0/host/puppet.py", "/agents/0/host/new.py", f"{os.__file__}"):
        assert (await place.run(puppet, f"write {path}")).text.startswith("refused:")


async def test_tokens_are_in_no_repr(place: Platform, puppet: Agent) -> None:
    task = place.task("token")
    assert task.token
    assert task.token not in (await (await puppet.handle(task))).text
    assert task.token not in repr(task)


@pytest.mark.parametrize("words", ["add 1 2", "ask something"])
async def test_a_wrong_or_old_token_gets_nothing(
    place: Platform, puppet: Agent, words: str
) -> None:
    added, asked = len(place.added), len(place.model.requests)
    wrong = await place.run(puppet, words, token="nonsense")
    old = await place.run(puppet, words, seconds=-1)
    none = await place.run(puppet, words, token=None)
    for outcome, reason in ((wrong, "not known"), (old, "has expired"), (none, "needs a run")):
        assert isinstance(outcome.end, Failed)
        assert reason in outcome.end.message
    assert (len(place.added), len(place.model.requests)) == (added, asked)


async def test_a_token_that_is_revoked_in_the_run_ends_its_tools(
    place: Platform, puppet: Agent
) -> None:
    task = place.task("tick")
    response = await puppet.handle(task)
    begun = len(place.ticks)
    running = asyncio.ensure_future(_outcome(response))
    await _until(lambda: len(place.ticks) > begun)
    place.grants.revoke(task.token or "")
    outcome = await asyncio.wait_for(running, 10)
    assert isinstance(outcome.end, Failed)
    assert "not known" in outcome.end.message


async def test_what_the_agent_raises_is_said_once(place: Platform, puppet: Agent) -> None:
    events = [event async for event in await puppet.handle(place.task("fail"))]
    assert [type(event) for event in events] == [Failed]
    assert "I was told to fail" in events[0].message  # type: ignore[union-attr]


async def test_a_lot_of_output_breaks_nothing(place: Platform, puppet: Agent) -> None:
    assert (await place.run(puppet, "shout")).text == "shouted"
    assert (await place.run(puppet, "add 1 1")).text == "2"


@pytest.mark.parametrize("died", [False, True])
async def test_a_question_is_asked_and_its_answer_goes_on_with_the_task(
    place: Platform, puppet: Agent, died: bool
) -> None:
    task = place.task("question asked")
    first = await (await puppet.handle(task))
    assert isinstance(first.end, InputRequest)
    assert first.end.prompt == "how many?"
    place.grants.revoke(task.token or "")
    if died:
        assert not (await place.run(puppet, "die")).ok
    follow = place.task("question 7")
    again = replace(task, message=follow.message, token=follow.token, state=first.end.state)
    second = await (await puppet.handle(again))
    assert second.end == Completed()
    assert second.text == f"thank you for 7, {follow.id}: I asked"


async def test_a_flood_of_text_comes_whole_to_a_slow_reader(place: Platform, puppet: Agent) -> None:
    pieces: dict[str, str] = {}
    async for event in await puppet.handle(place.task("flood 3000")):
        if isinstance(event, TextDelta):
            pieces[event.message_id] = pieces.get(event.message_id, "") + event.text
        elif isinstance(event, TextFinal):
            pieces[event.message_id] = event.text
        if len(pieces) < 2:
            await asyncio.sleep(0.001)
    assert list(pieces.values()) == ["".join(f"{number} " for number in range(3000))]


async def test_cancelling_ends_the_agents_work(place: Platform, puppet: Agent) -> None:
    begun = len(place.ticks)
    running = asyncio.ensure_future(_outcome(await puppet.handle(place.task("tick"))))
    await _until(lambda: len(place.ticks) > begun + 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    now = len(place.ticks)
    await asyncio.sleep(0.3)
    assert len(place.ticks) == now


async def test_cancelling_waits_for_the_agent_to_clean_up(
    place: Platform, host: AgentHost, puppet: Agent
) -> None:
    task = place.task("linger")
    running = asyncio.ensure_future(_outcome(await puppet.handle(task)))
    await asyncio.sleep(0.3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert f"puppet: cleaned up {task.id}" in await host.logs()


async def test_cancelling_at_once_leaves_nothing(place: Platform, puppet: Agent) -> None:
    for pause in (0, 0.001, 0.005, 0.02):
        running = asyncio.ensure_future(_outcome(await puppet.handle(place.task("tick"))))
        await asyncio.sleep(pause)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    now = len(place.ticks)
    await asyncio.sleep(0.3)
    assert len(place.ticks) == now


async def test_an_agent_may_tidy_up_after_its_end(
    place: Platform, host: AgentHost, puppet: Agent
) -> None:
    starts = host.starts
    assert (await place.run(puppet, "tidy")).end == Completed()
    await asyncio.sleep(1.0)
    assert "puppet: tidied up" in await host.logs()
    assert (await place.run(puppet, "add 1 2")).text == "3"
    assert host.starts == starts


async def test_a_host_that_dies_is_one_failure_and_the_next_task_runs(
    place: Platform, host: AgentHost, puppet: Agent
) -> None:
    starts = host.starts
    events = [event async for event in await puppet.handle(place.task("die"))]
    assert [type(event) for event in events][-1] is Failed
    assert sum(isinstance(event, Failed) for event in events) == 1
    end = events[-1]
    assert isinstance(end, Failed)
    assert end.error_type == "HostDied"
    assert "puppet: about to die" in end.message
    assert (await place.run(puppet, "add 1 2")).text == "3"
    assert host.starts == starts + 1


@pytest.mark.slow
@pytest.mark.parametrize("words", ["block", "stubborn"])
async def test_a_run_that_cannot_be_canceled_ends_with_its_host(
    place: Platform,
    host: AgentHost,
    puppet: Agent,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_run, "CANCEL_SECONDS", 0.5)
    monkeypatch.setattr(process, "ANSWER_SECONDS", 0.5)
    starts = host.starts
    response = await puppet.handle(place.task(words))
    begun: list[AgentEvent] = []

    async def read() -> None:
        async for event in response:
            begun.append(event)  # noqa: PERF401 - it is looked at while it grows

    reading = asyncio.create_task(read())
    await _until(lambda: bool(begun))
    await asyncio.sleep(0.4)
    reading.cancel()
    started = time.monotonic()
    await asyncio.gather(reading, return_exceptions=True)
    assert time.monotonic() - started < 4
    assert isinstance(begun[0], TextDelta)
    assert not any(isinstance(event, Canceled) for event in begun)
    assert (await place.run(puppet, "add 1 2")).text == "3"
    assert host.starts == starts + 1


@pytest.mark.slow
async def test_a_host_that_eats_too_much_says_so(place: Platform, short_dir: Path) -> None:
    limits = replace(HOST_LIMITS, memory_bytes=300 * MIB)
    hosts = AgentHosts(place.runtime, place.socket, run_root=short_dir, limits=limits)
    try:
        host = await hosts.start([str(PUPPET)])
        outcome = await place.run(host.agents[0], "eat")
    finally:
        await hosts.stop()
    assert isinstance(outcome.end, Failed)
    assert outcome.end.error_type == "HostDied"
    assert "memory" in outcome.end.message


async def test_stopping_leaves_nothing(place: Platform) -> None:
    host = await place.hosts.start([str(PUPPET)], name="doomed")
    assert (await place.run(host.agents[0], "leave")).text == "left"
    assert _processes("sleep\x004242") == 1
    begun = len(place.ticks)
    running = asyncio.ensure_future(_outcome(await host.agents[0].handle(place.task("tick"))))
    await _until(lambda: len(place.ticks) > begun)
    await host.stop("it was in the way")
    outcome = await asyncio.wait_for(running, 10)
    assert isinstance(outcome.end, Failed)
    assert outcome.end.error_type == "HostDied"
    assert "was ended in the middle of the run: it was in the way" in outcome.end.message
    assert _processes("sleep\x004242") == 0
    stopped = await place.run(host.agents[0], "add 1 2")
    assert isinstance(stopped.end, Failed)
    assert "was stopped" in stopped.end.message


@pytest.mark.slow
async def test_what_cannot_be_loaded_is_told_and_the_others_are_served(
    place: Platform, tmp_path: Path
) -> None:
    (tmp_path / "good.py").write_text(PUPPET.read_text())
    (tmp_path / "broken.py").write_text("import no_such_module_here\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    sources = [str(tmp_path / name) for name in ("good.py", "broken.py", "syntax.py")]
    host = await place.hosts.start(sources)
    assert [agent.id for agent in host.agents] == ["puppet"]
    told = {problem.source: problem for problem in host.problems}
    assert set(told) == set(sources[1:])
    assert "no_such_module_here" in told[sources[1]].message
    assert told[sources[2]].error_type == "SyntaxError"
    assert (await place.run(host.agents[0], "add 1 2")).text == "3"
    await host.stop()


@pytest.mark.slow
async def test_a_host_without_agents_is_an_error_with_the_reason(
    place: Platform, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit('not today')\n")
    with pytest.raises(HostStartError, match="not today"):
        await place.hosts.start([str(tmp_path / "broken.py")])
    with pytest.raises(HostStartError, match="no agent file"):
        await place.hosts.start([str(tmp_path / "nothing.py")])


@pytest.mark.slow
async def test_a_host_that_does_not_get_ready_is_an_error_and_gone(
    short_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        "import subprocess, time\nprint('so slow')\n"
        "subprocess.Popen(['sleep', '4343'])\ntime.sleep(3600)\n"
    )
    async with platform(short_dir, ready_seconds=10.0) as place:
        with pytest.raises(HostStartError, match=r"did not get ready(.|\n)*so slow"):
            await place.hosts.start([str(tmp_path / "slow.py")])
    assert _processes("sleep\x004343") == 0
    assert [path.name for path in short_dir.iterdir()] == ["platform.sock"]


def _processes(words: str) -> int:
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += words in path.read_text()
        except OSError:
            continue
    return found


async def _outcome(response: object) -> object:
    return await response  # type: ignore[misc]


async def _until(holds: object, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)
