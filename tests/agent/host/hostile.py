"""An agent for tests that wants out of its host, or to take as much as it can."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from codin import wrap

ELSEWHERE = ("/etc/evil", "/usr/evil", "/agents/evil", "/opt/codin-host/codin/evil", "/evil")


def attempt(do):
    try:
        return f"got {do()}"
    except OSError as error:
        return f"refused: {type(error).__name__} {error}"


def write(path):
    with open(path, "w") as file:
        return file.write("evil")


def dial(address):
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 3):
        return "through"


def fork_bomb():
    begun = time.monotonic()
    while time.monotonic() - begun < 20:
        os.fork()


def fill(folder):
    with open(f"{folder}/big", "wb") as file:
        for _ in range(4096):
            file.write(bytes(1 << 20))
    return "4 GiB"


def be_somebody_else(path):
    """Put a link to another's socket where the platform looks for ours."""
    os.unlink("/run/codin/service.sock")
    os.symlink(path, "/run/codin/service.sock")
    return "swapped"


async def hostile(task):  # noqa: C901
    verb, *rest = task.text.split()
    match verb:
        case "read":
            yield attempt(lambda: Path(rest[0]).read_text())
        case "list":
            yield attempt(lambda: sorted(os.listdir(rest[0])))
        case "write":
            yield "\n".join(attempt(lambda path=path: write(path)) for path in ELSEWHERE)
        case "dial":
            yield attempt(lambda: dial(rest[0]))
        case "bomb":
            yield "begun "
            fork_bomb()
        case "fill":
            yield "\n".join(attempt(lambda at=at: fill(at)) for at in ("/run/codin", "/tmp"))
        case "kill":
            yield "begun "
            for pid in (os.getppid(), 1, -1):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            yield "still here"
        case "die":
            yield "begun "
            os.kill(os.getpid(), signal.SIGKILL)
        case "hog":
            yield "begun "
            eaten = []
            while True:
                eaten.append(bytearray(os.urandom(1 << 20) * 16))
        case "leave":
            code = f"import time; time.sleep(600)  # {rest[0]}"
            subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
            yield "left"
            await asyncio.sleep(float(rest[1]))
        case "threads":
            count = 0
            try:
                for count in range(100_000):  # noqa: B007
                    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
            except RuntimeError as error:
                yield f"after {count}: {error}"
        case "after":
            tools = {tool.name: tool for tool in task.tools}
            yield "begun "
            while True:
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await tools["tick"].invoke()
                    await asyncio.sleep(0.01)
        case "swap":
            yield attempt(lambda: be_somebody_else(rest[0]))
        case "callback":
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await asyncio.sleep(0.1)
            yield "went on"
        case "nothing":
            return
        case "stream":
            for _ in range(int(rest[0])):
                yield "x" * (1 << 20)
        case "block":
            yield "begun "
            await asyncio.sleep(0.2)
            time.sleep(600)
        case "other":
            tools = {tool.name: tool for tool in task.tools}
            yield str(await tools["tick"].invoke(not_there=1))


agent = wrap(hostile, tools=["add", "tick"])
