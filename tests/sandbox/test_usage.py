"""What calls of a Worker are said to have used, and what a sandbox costs that is not used."""

import asyncio

import pytest

from codin.sandbox import Limits, SandboxSpec
from codin.sandbox.box import cgroup
from codin.sandbox.box.meter import GroupMeter, TreeMeter
from codin.sandbox.errors import DiskLimit, SandboxGone, WorkerGone

pytestmark = pytest.mark.slow

SOURCE = """
import threading, time
def eat(mb):
    return len(bytearray(mb * 2**20))
def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
def late(seconds, words):
    def say():
        time.sleep(seconds)
        print(words, flush=True)
    threading.Thread(target=say, daemon=True).start()
def fill_later(mb):
    def fill():
        time.sleep(0.3)
        with open("big", "wb") as file:
            file.write(bytes(mb * 2**20))
    threading.Thread(target=fill, daemon=True).start()
"""


async def call(worker, name, *args):
    made = worker.call(f"m:{name}", args, source=SOURCE)
    await made
    return made


async def test_each_call_has_its_own_figures(sandbox):
    worker = await sandbox.worker()
    first = await call(worker, "busy", 0.2)
    assert 0.15 < first.usage.cpu_seconds < 2
    assert first.usage.wall_seconds > 0.15
    large = await call(worker, "eat", 100)
    small = await call(worker, "eat", 1)
    assert small.usage.cpu_seconds < 0.15
    if large.usage.peak_memory_bytes is not None and cgroup.find_kind():
        assert large.usage.peak_memory_bytes > 90 * 2**20
        assert small.usage.peak_memory_bytes < 80 * 2**20
    assert first.usage is first.usage


async def test_what_is_printed_between_calls_is_heard_with_the_next(sandbox):
    worker = await sandbox.worker()
    await call(worker, "late", 0.1, "in between")
    await asyncio.sleep(0.4)
    heard = worker.call("m:busy", [0.01], source=SOURCE)
    assert b"".join([chunk.data async for chunk in heard.output()]) == b"in between\n"


async def test_what_goes_on_after_its_call_is_watched(provider):
    spec = SandboxSpec(limits=Limits(disk_bytes=4 * 2**20))
    async with await provider.create(spec) as sandbox:
        worker = await sandbox.worker()
        await call(worker, "fill_later", 3)
        await asyncio.sleep(1.5)
        assert worker.idle
        source = SOURCE.replace('"big"', 'f"big{time.time()}"').replace("0.3", "1.2")
        await worker.call("m:fill_later", [3], source=source)
        async with asyncio.timeout(20):
            while worker.idle:
                await asyncio.sleep(0.1)
        with pytest.raises((DiskLimit, WorkerGone, SandboxGone)):
            await call(worker, "eat", 1)


def test_a_group_is_asked_for_the_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    group = cgroup.GroupV1("1.2/a")
    cpu = tmp_path / "cpuacct/codin/1.2/a/cpuacct.usage"
    peak = tmp_path / "memory/codin/1.2/a/memory.max_usage_in_bytes"
    cpu.write_text("1000000000\n")
    peak.write_text("5000000\n")
    meter = GroupMeter(group)
    meter.begin()
    assert peak.read_text()[0] == "0"  # begun anew
    peak.write_text("9000000\n")
    cpu.write_text("1500000000\n")
    spent = meter.finish()
    cpu.write_text("9900000000\n")
    assert spent() == (0.5, 9000000)
    assert meter.moved()
    assert not meter.moved()
    cpu.write_text("9900000001\n")
    assert meter.moved()
    group.close()
    assert group.cpu_seconds() == 0.0


async def test_a_tree_that_does_not_run_has_not_moved():
    process = await asyncio.create_subprocess_exec("sleep", "30")
    try:
        meter = TreeMeter(process.pid)
        await asyncio.sleep(0.2)
        assert meter.moved()  # nothing was known of it
        found = []
        for _ in range(10):
            await asyncio.sleep(0.05)
            found.append(meter.moved())
        assert not any(found[5:])
    finally:
        process.kill()
        await process.wait()
    assert meter.moved()
