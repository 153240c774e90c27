"""Commands by the official SDKs."""

from __future__ import annotations

import asyncio
import time

import pytest
from e2b import (
    AsyncSandbox,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    Sandbox,
    SandboxException,
    TimeoutException,
)

pytestmark = pytest.mark.slow


def test_output_and_exit_code(shared: Sandbox) -> None:
    result = shared.commands.run("echo out; echo err >&2")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0)
    with pytest.raises(CommandExitException) as failed:
        shared.commands.run("echo no; exit 3")
    assert (failed.value.exit_code, failed.value.stdout) == (3, "no\n")
    assert failed.value.error == "exit status 3"


def test_where_and_with_what_it_runs(shared: Sandbox) -> None:
    assert shared.commands.run("pwd; echo ~").stdout == "/home/user\n/home/user\n"
    shared.files.make_dir("work")
    assert shared.commands.run("pwd", cwd="work").stdout == "/home/user/work\n"
    assert shared.commands.run("pwd", cwd="/tmp").stdout == "/tmp\n"
    assert shared.commands.run("echo $A", envs={"A": "1\n2"}).stdout == "1 2\n"
    with pytest.raises((InvalidArgumentException, NotFoundException)):
        shared.commands.run("pwd", cwd="/nowhere")


def test_output_comes_as_it_is_printed(shared: Sandbox) -> None:
    seen: list[tuple[str, float]] = []
    result = shared.commands.run(
        "echo one; sleep 0.4; echo two >&2",
        on_stdout=lambda text: seen.append((text, time.monotonic())),
        on_stderr=lambda text: seen.append((text, time.monotonic())),
    )
    assert [text for text, _ in seen] == ["one\n", "two\n"]
    assert seen[1][1] - seen[0][1] > 0.2
    assert result.stdout == "one\n"


def test_much_output_and_bytes_that_are_no_text(shared: Sandbox) -> None:
    result = shared.commands.run("seq 200000; printf '\\xff\\xfe'; printf 'ä%.0s' $(seq 50000)")
    assert result.stdout.startswith("1\n2\n")
    assert "\n200000\n" in result.stdout
    assert result.stdout.endswith("�" * 2 + "ä" * 50000)


def test_a_command_in_the_background(shared: Sandbox) -> None:
    handle = shared.commands.run("for i in 1 2 3; do echo $i; sleep 0.05; done", background=True)
    assert "".join(out for out, _, _ in handle if out) == "1\n2\n3\n"
    assert handle.wait().exit_code == 0


def test_input_is_sent_and_closed(shared: Sandbox) -> None:
    handle = shared.commands.run("cat; echo end", background=True, stdin=True)
    listed = {process.pid: process for process in shared.commands.list()}
    assert listed[handle.pid].args == ["-l", "-c", "cat; echo end"]
    shared.commands.send_stdin(handle.pid, "first\n")
    handle.send_stdin(b"second\n")
    handle.close_stdin()
    assert handle.wait().stdout == "first\nsecond\nend\n"
    assert handle.pid not in {process.pid for process in shared.commands.list()}
    with pytest.raises(NotFoundException):
        shared.commands.send_stdin(handle.pid, "x")


def test_another_connects_to_what_runs(shared: Sandbox) -> None:
    handle = shared.commands.run("read x; echo got $x", background=True, stdin=True)
    other = shared.commands.connect(handle.pid)
    shared.commands.send_stdin(handle.pid, "it\n")
    assert other.wait().stdout == "got it\n"
    assert handle.wait().stdout == "got it\n"
    with pytest.raises(NotFoundException):
        shared.commands.connect(handle.pid)


def test_killing(shared: Sandbox) -> None:
    handle = shared.commands.run("sleep 100", background=True)
    assert handle.kill() is True
    with pytest.raises(CommandExitException) as ended:
        handle.wait()
    assert (ended.value.exit_code, ended.value.error) == (-1, "signal: killed")
    assert handle.kill() is False
    assert shared.commands.kill(123456) is False


def test_what_takes_too_long_is_ended(shared: Sandbox) -> None:
    shared.commands.run("rm -f alive")
    with pytest.raises(TimeoutException):
        shared.commands.run("while :; do date +%s%N > alive; sleep 0.05; done", timeout=1)
    time.sleep(0.5)
    before = shared.files.read("alive")
    time.sleep(0.3)
    assert shared.files.read("alive") == before


def test_a_client_that_goes_leaves_what_runs(shared: Sandbox) -> None:
    handle = shared.commands.run("sleep 0.5; echo done > left.txt", background=True)
    handle.disconnect()
    deadline = time.monotonic() + 10
    while not shared.files.exists("left.txt"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_is_left_running_goes_on(shared: Sandbox) -> None:
    number = shared.commands.run("nohup sleep 62 > /dev/null 2>&1 & echo $!").stdout.strip()
    assert shared.commands.run(f"kill -0 {number}").exit_code == 0
    assert all("sleep 62" not in " ".join(each.args) for each in shared.commands.list())
    assert shared.commands.run(f"kill {number}; sleep 0.2; kill -0 {number} || echo gone").stdout


def test_what_runs_too_long_leaves_nothing_behind(shared: Sandbox) -> None:
    with pytest.raises(TimeoutException):
        shared.commands.run("sleep 63 > /dev/null 2>&1 & sleep 63", timeout=1)
    assert "sleep 63" not in shared.commands.run("ps ax -o args | grep -v grep").stdout


def test_commands_share_one_machine(shared: Sandbox) -> None:
    server = shared.commands.run("exec python3 -m http.server 8123 -d /tmp", background=True)
    shared.files.write("/tmp/shared.txt", "seen")
    fetch = (
        'for i in $(seq 50); do python3 -c "import urllib.request as r;'
        "print(r.urlopen('http://127.0.0.1:8123/shared.txt').read().decode())\" 2>/dev/null"
        " && break; sleep 0.1; done"
    )
    assert shared.commands.run(fetch).stdout == "seen\n"
    server.kill()


def test_there_is_one_user(shared: Sandbox) -> None:
    assert shared.commands.run("id -u", user="user").stdout == "1000\n"
    with pytest.raises(SandboxException, match="no user 'root'"):
        shared.commands.run("id", user="root")


def test_a_terminal_is_not_served(shared: Sandbox) -> None:
    from e2b import PtySize

    with pytest.raises(SandboxException, match="not implemented"):
        shared.pty.create(PtySize(rows=24, cols=80))


async def test_the_async_half(aio: AsyncSandbox) -> None:
    seen: list[str] = []

    async def on_stdout(text: str) -> None:
        seen.append(text)

    result = await aio.commands.run("echo hello", on_stdout=on_stdout)
    assert (result.stdout, seen) == ("hello\n", ["hello\n"])
    handle = await aio.commands.run("cat", background=True, stdin=True)
    await handle.send_stdin("x\n")
    await aio.commands.close_stdin(handle.pid)
    assert (await handle.wait()).stdout == "x\n"
    handle = await aio.commands.run("sleep 60", background=True)
    assert await handle.kill()


async def test_many_at_once(aio: AsyncSandbox) -> None:
    results = await asyncio.gather(*(aio.commands.run(f"echo {n}") for n in range(30)))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(30)]


async def test_ordered_input(aio: AsyncSandbox) -> None:
    handle = await aio.commands.run("cat", background=True, stdin=True)
    inlet = aio.commands.stream_input(handle.pid)
    for number in range(100):
        await inlet.send(f"{number}\n")
    await inlet.close()
    await handle.close_stdin()
    assert (await handle.wait()).stdout == "".join(f"{number}\n" for number in range(100))
