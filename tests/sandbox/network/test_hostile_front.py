"""What passes the door out is code inside, too: whatever it passes, the platform goes on."""

import asyncio
import sys
import threading
import time

import pytest

from codin.sandbox import Limits, LocalSandboxProvider, SandboxSpec
from codin.sandbox.network import ProxyRoom, listener

pytestmark = pytest.mark.slow

_BEGIN = """
import array, os, socket, struct, sys, time
link = socket.socket(fileno=int(sys.argv[1]))
def door():
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", int(sys.argv[2])))
    made.listen(128)
    return made
def give(*what):
    rights = array.array("i", [each.fileno() for each in what])
    link.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
def go():
    os.execv(sys.argv[3], sys.argv[3:])
"""

FRONTS = {
    "nothing": "go()",
    "only words": "link.send(b'x' * 1000); go()",
    "its end": "sys.exit(0)",
    "no socket": "give(open('/dev/null')); go()",
    "a socket that does not listen": "give(socket.socket()); go()",
    "a socket of datagrams": "give(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)); go()",
    "a way back to itself": "give(link); go()",
    "a connection that lingers": """
d = door(); c = socket.create_connection(d.getsockname()); a, _ = d.accept()
for each in (a, c):
    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
a.setblocking(False)
try:
    while True:
        a.send(b"x" * 65536)
except BlockingIOError:
    pass
give(a); a.close()
if os.fork():
    go()
time.sleep(60)
""",
    "many at once": """
d = door(); r, w = os.pipe()
give(d, *(socket.socket() for _ in range(200))); go()
""",
    "a door that it holds as well, and switches": """
d = door(); d.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
give(d)
if os.fork():
    go()
while True:
    for blocking in (True, False):
        d.setblocking(blocking)
        d.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 1))
        time.sleep(0.001)
""",
    "a door that it closes and opens": """
d = door(); give(d)
if os.fork():
    go()
while True:
    try:
        d.shutdown(socket.SHUT_RDWR); d.listen(5)
    except OSError:
        pass
    time.sleep(0.001)
""",
    "a door that it makes wait, and takes what comes": """
d = door(); give(d)
if os.fork():
    go()
if os.fork():
    while True:
        d.setblocking(True)
held = []
while True:
    try:
        held.append(d.accept())
    except OSError:
        pass
""",
}

_CALLS = """
import socket, time
held = []
end = time.monotonic() + 1.0
while time.monotonic() < end:
    try:
        one = socket.create_connection(("127.0.0.1", 3128), 1)
        one.send(b"GET http://other.test/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" * 2)
        held.append(one)
    except OSError:
        pass
    held = held[-20:]
    time.sleep(0.01)
print("done")
"""


_FAST = {"nothing", "a door that it makes wait, and takes what comes"}


@pytest.mark.parametrize(
    "front",
    [pytest.param(each, marks=() if each in _FAST else pytest.mark.slow) for each in FRONTS],
)
async def test_a_hostile_door_harms_nobody_else(monkeypatch, front):
    """A loop that accepted by itself stood still for good at the last of these doors."""
    provider = LocalSandboxProvider(network=ProxyRoom())
    spec = SandboxSpec(limits=Limits(network=("allowed.test:80",)))
    lag = 0.0

    async def watch():
        nonlocal lag
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.02)
            lag = max(lag, time.monotonic() - before)

    await provider.probe()
    sandbox = await provider.create(spec)
    other = await provider.create(spec)
    monkeypatch.setattr(listener, "_FRONT", _BEGIN + FRONTS[front])
    watching = asyncio.create_task(watch())
    result = await asyncio.wait_for(sandbox.exec([sys.executable, "-c", _CALLS]), 20)
    assert result.stdout == (b"" if front == "its end" else b"done\n")
    await asyncio.wait_for(sandbox.kill(), 10)
    monkeypatch.undo()
    asked = await other.exec(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://x.test"]
    )
    assert asked.stdout == b"403"
    await asyncio.wait_for(provider.close(), 10)
    watching.cancel()
    assert lag < 1.5
    assert not any(each.name == "codin-accept" for each in threading.enumerate())
