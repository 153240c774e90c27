"""Commands that do not end, are too many, or stay behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from codin.sandbox.errors import SandboxError
from codin.testing.escapes.base import (
    LIMITS,
    Act,
    Attempt,
    Code,
    Control,
    Ground,
    Held,
    NotRun,
    Outcome,
    Payload,
)
from codin.testing.escapes.inside import PROGRAM
from codin.testing.escapes.scene import Scene
from codin.testing.escapes.weaken import Weaker

_PROCESSES = replace(LIMITS, processes=24)
_UNCOUNTED = Weaker(
    "no limit on processes, nor on what they hold",
    limits=replace(LIMITS, processes=None, memory_bytes=None),
)
_SHORT = replace(LIMITS, wall_seconds=1.0)
_UNTIMED = Weaker("no limit on time", limits=replace(LIMITS, wall_seconds=None))
_BRIEF = replace(LIMITS, cpu_seconds=1.0)
_UNMETERED = Weaker("no limit on processor time", limits=replace(LIMITS, cpu_seconds=None))
_FEW = ("EAGAIN", "PermissionDenied", "SandboxTimeout", "OutOfMemory")
_SECONDS = 3.0
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Lasting(Payload):
    """Code that leaves a process behind; it is out when that lives on after the command's end."""

    text: str

    async def __call__(self, ground: Ground) -> str:
        mark = f"codin-lasting-{os.urandom(4).hex()}"
        with contextlib.suppress(Held, SandboxError):
            await ground.inside(f"MARK = {mark!r}\n{self.text}")
        return await _still(mark)


@dataclass(frozen=True, slots=True)
class Left(Control):
    """The same as a plain process: what it leaves behind lives on, and is ended here."""

    words: str = "no sandbox: a plain process of the same user"

    async def __call__(self, attempt: Attempt, scene: Scene) -> Outcome:
        assert isinstance(attempt.payload, Lasting)
        mark = f"codin-lasting-{os.urandom(4).hex()}"
        text = f"MARK = {mark!r}\n{attempt.payload.text}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, json.dumps(scene.facts()), text),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        await process.wait()
        await asyncio.sleep(0.5)
        found: set[int] = set()
        for _ in range(10 * _LOOKS):
            for pid in _named(mark):
                found.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.005)
        return Outcome(bool(found), f"{len(found)} processes left" if found else "nothing")


def _named(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in line:
            found.append(int(folder.name))
    return found


async def _still(mark: str) -> str:
    until, clear = time.monotonic() + _SECONDS, 0
    while clear < _LOOKS:  # what always becomes another process can be missed once
        found = await asyncio.to_thread(_named, mark)
        clear = 0 if found else clear + 1
        if time.monotonic() > until and found:
            return f"{len(found)} processes left"
        await asyncio.sleep(0.02)
    raise Held("nothing")


def _lasting(identity: str, tries: str, text: str) -> Attempt:
    return Attempt(identity, tries, ("nothing",), Lasting(text), Left(), own=True)


def _late(identity: str, tries: str, code: str) -> Attempt:
    return Attempt(identity, tries, ("SandboxTimeout",), Code(code), _UNTIMED, _SHORT, own=True)


def _many(identity: str, tries: str, code: str) -> Attempt:
    return Attempt(identity, tries, _FEW, Code(code), _UNCOUNTED, _PROCESSES, own=True, alone=True)


async def _open_input(ground: Ground) -> str:
    """Its input stays open, and nobody writes: it has to be ended all the same."""
    code = "import sys; sys.stdin.read()"
    process = await ground.sandbox.start(
        [ground.python, "-c", code], stdin=True, limits=ground.limits
    )
    return await _ended_by_itself(process.wait(), process.kill)


async def _input_not_read(ground: Ground) -> str:
    """It reads nothing of what the host writes: the host has to get away."""
    process = await ground.sandbox.start(
        [ground.python, "-c", "import time; time.sleep(60)"], stdin=True, limits=ground.limits
    )

    async def write() -> None:
        await process.write(bytes(64 << 20))
        await process.wait()

    return await _ended_by_itself(write(), process.kill)


async def _output_kept_open(ground: Ground) -> str:
    """The command ends, and what it left behind holds its output open."""
    code = "import os, time\nif os.fork() == 0: time.sleep(60)"
    running = ground.sandbox.exec([ground.python, "-c", code], limits=ground.limits)
    await _ended_by_itself(running, None)
    raise Held("nothing")


async def _ended_by_itself(
    waiting: Awaitable[object], kill: Callable[[], Awaitable[None]] | None
) -> str:
    task = asyncio.ensure_future(waiting)
    done, _ = await asyncio.wait([task], timeout=5 * _SECONDS if kill is None else _SECONDS + 1)
    if done:
        await task
        raise Held("nothing")
    if kill is not None:
        await kill()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return "the host still waits for it"


_CHILD = "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(30)', MARK])"
_DAEMON = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    {{more}}
    {_CHILD}
time.sleep(0.3)
"""
_SPIN = "while time.process_time() < {seconds}: pass\n"

ATTEMPTS = (
    _many(
        "fork-bomb",
        "start processes without end",
        """
kept = []
for n in range(150):
    pid = os.fork()
    if pid == 0: time.sleep(20); os._exit(0)
    kept.append(pid)
time.sleep(0.5); got(f"{len(kept)} processes")
""",
    ),
    _many(
        "fork-bomb-of-children",
        "start processes without end, each from the one before",
        """
reading, writing = os.pipe()
for n in range(150):
    try: pid = os.fork()
    except OSError: os.write(writing, b"x"); time.sleep(20); os._exit(1)
    if pid:
        if n == 0: break
        time.sleep(20); os._exit(0)
else:
    os.write(writing, b"!")
    time.sleep(20); os._exit(0)
if os.read(reading, 1) == b"!": got("150 processes")
held("EAGAIN")
""",
    ),
    _many(
        "thread-bomb",
        "start threads without end",
        """
import threading
threading.stack_size(65536)
try:
    for n in range(200): threading.Thread(target=time.sleep, args=(10,), daemon=True).start()
except RuntimeError: held("EAGAIN")
time.sleep(0.5); got("200 threads")
""",
    ),
    _late("sleep", "sleep past its time", "time.sleep(3); got('slept')"),
    _late(
        "sleep-deaf",
        "ignore every signal, past its time",
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\ntime.sleep(3); got('slept')",
    ),
    _late(
        "sleep-stopped",
        "stop itself, past its time",
        "if os.fork() == 0:\n    time.sleep(3); os.kill(os.getppid(), 18); os._exit(0)\n"
        "os.kill(os.getpid(), 19); got('went on')",
    ),
    _late(
        "sleep-in-kernel",
        "wait in the kernel, past its time",
        "if os.fork() == 0:\n    time.sleep(3); os._exit(0)\n"
        "libc.waitpid(-1, None, 0); got('waited')",
    ),
    _late(
        "sleep-tracing",
        "be held in vfork, past its time",
        "pid = os.posix_spawn('/bin/sleep', ['sleep', '3'], {})\nos.waitpid(pid, 0); got('waited')",
    ),
    Attempt(
        "busy",
        "use more processor time than it may",
        ("CpuLimit", "signal 9", "signal 24"),
        Code(_SPIN.format(seconds=4) + "got('4 s')"),
        _UNMETERED,
        _BRIEF,
        own=True,
    ),
    Attempt(
        "busy-children",
        "use more processor time in children than it may",
        ("CpuLimit", "signal 9"),
        Code(
            "for n in range(8):\n    if os.fork() == 0:\n"
            "        while time.process_time() < 0.5: pass\n"
            "        os._exit(0)\n    os.wait()\ngot('4 s')"
        ),
        _UNMETERED,
        _BRIEF,
        own=True,
    ),
    Attempt(
        "input-open",
        "wait for input that never comes",
        ("SandboxTimeout",),
        Act(_open_input),
        _UNTIMED,
        _SHORT,
        own=True,
    ),
    Attempt(
        "input-not-read",
        "read nothing of what the host writes",
        ("SandboxTimeout",),
        Act(_input_not_read),
        _UNTIMED,
        _SHORT,
        own=True,
    ),
    Attempt(
        "output-kept-open",
        "leave its output open when it ends",
        ("nothing",),
        Act(_output_kept_open),
        NotRun(
            "nothing stands between a command's end and that of what it left: see what stays behind"
        ),
        own=True,
    ),
    _lasting("daemon", "leave a daemon behind", _DAEMON.format(more="pass")),
    _lasting(
        "daemon-deaf",
        "leave a daemon behind that ignores signals",
        _DAEMON.format(
            more="import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15, 17, 18)]"
        ),
    ),
    _lasting(
        "daemon-closed",
        "leave a daemon behind that holds nothing open",
        _DAEMON.format(more="os.closerange(0, 100)"),
    ),
    _lasting(
        "daemon-stopped",
        "leave a stopped process behind",
        _DAEMON.format(more="").replace(
            "time.sleep(30)', MARK", "import os; os.kill(os.getpid(), 19)', MARK"
        ),
    ),
    _lasting(
        "daemon-forking",
        "leave a process behind that always becomes another",
        """
code = "import os, sys, time\\nfor n in range(400):\\n"
code += "    if os.fork(): os._exit(0)\\n    time.sleep(0.02)"
if os.fork() == 0:
    os.setsid(); os.execv(sys.executable, [sys.executable, "-c", code, MARK])
time.sleep(0.3)
""",
    ),
    Attempt(
        "descriptors",
        "open files without end",
        ("EMFILE", "ENFILE", "OutOfMemory"),
        Code(
            "kept = []\n"
            "for n in range(1_100_000): kept.append(os.open('/dev/null', os.O_RDONLY))\n"
            "got(len(kept))"
        ),
        NotRun("it could take all descriptors that this machine has"),
        own=True,
        alone=True,
    ),
)
