"""Fresh calls of a Worker: what code in the copy can do to what forked it."""

import contextlib

import pytest

from codin.errors import CodinError
from codin.sandbox import Limits, SandboxSpec
from codin.sandbox.errors import RemoteError, SandboxGone, SandboxTimeout, WorkerGone
from codin.sandbox.errors import WorkerProtocolError as ProtocolError
from codin.sandbox.pool import Reuse, WorkerPool

SOURCE = """
import os, struct, sys, threading, time

def pipe():
    frame = sys._getframe()
    while frame.f_code.co_name != "child":
        frame = frame.f_back
    return frame.f_locals["fd"]

def sockets():
    return [fd for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
            and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")]

def parent(what):
    path = f"/proc/{os.getppid()}/{what}"
    try:
        return os.readlink(path + "/0") if what == "fd" else str(open(path, "rb"))
    except PermissionError:
        return "refused"

def say(data, end=True):
    os.write(pipe(), data)
    if end:
        os._exit(0)
    return 7

def bomb():
    def more():
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
    if os.fork() == 0:
        more()
    time.sleep(0.1)
    return "left"

def many():
    for _ in range(30):
        if os.fork() == 0:
            os.setsid()
            time.sleep(99)
    return len(open(f"/proc/self/task/{os.getpid()}/children").read().split())

def kill_parent():
    os.kill(os.getppid(), 9)
    time.sleep(99)
"""


@pytest.fixture
async def worker(sandbox):
    return await sandbox.worker()


async def fresh(worker, name, *args, **options):
    return await worker.call(f"m:{name}", args, source=SOURCE, fresh=True, **options)


async def still_right(worker):
    """The Worker goes on: nothing of what was left is there."""
    assert await worker.call("m:sockets", source=SOURCE)
    assert await worker.call("math:sqrt", [9], fresh=True) == 3.0


async def test_the_copy_has_no_connection(worker):
    assert await worker.call("m:sockets", source=SOURCE)
    assert await fresh(worker, "sockets") == []


async def test_the_copy_does_not_see_into_what_forked_it(worker):
    assert await fresh(worker, "parent", "mem") == "refused"
    assert await fresh(worker, "parent", "fd") == "refused"
    # where it is not protected, as between two processes of one user, it would
    source = (
        "import os\ndef look():\n    pid = os.fork()\n    if not pid:\n"
        "        try: os.readlink(f'/proc/{os.getppid()}/fd/0'); os._exit(5)\n"
        "        except PermissionError: os._exit(6)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
    )
    assert await worker.call("n:look", source=source) == 5


async def test_frames_of_the_copy_are_passed_on_only_whole_and_checked(worker):
    for data, said in (
        (b"\xff\xff\xff\xff", "a frame of"),
        (b"\x7f\xff\xff\xff", "a frame of"),
        (b"\0\0\0\x10half", "exit code 0"),
        (b"", "exit code 0"),
    ):
        with pytest.raises(RemoteError, match=said):
            await fresh(worker, "say", data)
        await still_right(worker)


@pytest.mark.parametrize(
    "data",
    [b"\x80\0\0\x03\xc1\xc1\xc1", b"\0\0\0\x03\xc1\xc1\xc1", b"\x80\0\0\x07\x81\xa1t\xa4done"],
)
async def test_a_frame_of_the_copy_that_is_none_ends_the_worker(worker, data):
    with pytest.raises(ProtocolError):
        await fresh(worker, "say", data)


async def test_what_comes_after_the_last_frame_is_nothing(worker):
    frame = b"\x80\0\0\x04\x81\xa1t\xc0"  # the kind is nothing, which is refused: so it was read
    with pytest.raises(ProtocolError):
        await fresh(worker, "say", frame + b"\xff" * 100)


async def test_all_that_was_forked_is_ended(worker, sandbox):
    assert await fresh(worker, "many") == 30
    await still_right(worker)
    assert await worker.call("m:many", source=SOURCE, fresh=True) == 30


async def test_what_forks_for_ever_is_ended_or_ends_the_worker(provider):
    async with await provider.create(SandboxSpec(limits=Limits(processes=32))) as sandbox:
        worker = await sandbox.worker()
        with contextlib.suppress(WorkerGone, SandboxTimeout, RemoteError):
            await fresh(worker, "bomb", timeout=20)
        if worker.alive:
            await still_right(worker)


async def test_the_copy_can_end_what_forked_it_and_nobody_else_is_harmed(sandbox, worker):
    with pytest.raises((WorkerGone, SandboxGone)):
        await fresh(worker, "kill_parent")
    other = await sandbox.worker()
    assert await fresh(other, "sockets") == []


async def test_time_ends_it(worker):
    with pytest.raises(SandboxTimeout):
        await worker.call("time:sleep", [60], fresh=True, timeout=0.3)


async def test_code_in_a_copy(worker):
    await worker.run_code("x = 1")
    assert (await worker.run_code("x += 1; x", fresh=True)).value == "2"
    assert (await worker.run_code("x")).value == "1"
    assert "ZeroDivision" in ((await worker.run_code("1/0", fresh=True)).error or "")


async def test_usage_is_that_of_the_copy(worker):
    source = "def busy():\n    return sum(i * i for i in range(3_000_000))\n"
    call = worker.call("b:busy", source=source, fresh=True)
    await call
    assert 0.05 < call.usage.cpu_seconds < 30


async def test_a_pool_that_forks(provider):
    pool = WorkerPool(provider)
    source = "seen = []\ndef see(x):\n    seen.append(x)\n    return seen\n"
    for n in range(3):
        async with pool.take(SandboxSpec(), owner="a", mode=Reuse.FORK) as worker:
            assert await worker.call("m:see", [n], source=source) == [n]
            with pytest.raises(CodinError, match=r"Reuse\.KEEP"):
                worker.construct("it", "m:see")
    assert pool.state.idle == 1
    await pool.close()
