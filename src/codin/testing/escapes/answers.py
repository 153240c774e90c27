"""Workers that do not keep to the protocol: what the host is told by a process that it drives."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

import msgpack

from codin.sandbox.base import SandboxSpec
from codin.sandbox.box.sandbox import BoxSandbox
from codin.sandbox.local import LocalSandboxProvider
from codin.sandbox.worker import frames
from codin.testing.escapes.base import Attempt, Control, Ground, Held, Outcome, Payload
from codin.testing.escapes.scene import Scene

_FORGED = "forged"
_SECONDS = 2.0
_HEAD = struct.Struct(">I")
_LARGEST = 1 << 26

_SOURCE = """
import array, os, signal, socket, stat, struct, sys, time
import msgpack

def lines():
    found = []
    for fd in range(3, 4096):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): found.append(fd)
        except OSError: pass
    return found

def put(data):
    for fd in lines():
        try: os.write(fd, data)
        except OSError: pass

def frame(message):
    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body

def done(value="forged", number=None):
    return frame({"t": "done", "id": request() if number is None else number, "value": value})

def request():
    "The number of the request that is answered now, as the program inside knows it."
    here = sys._getframe()
    while here is not None:
        found = here.f_locals.get("request")
        if isinstance(found, dict) and "id" in found: return found["id"]
        here = here.f_back
    return 1

def f():
{body}
    return "honest"
"""


@dataclass(frozen=True, slots=True)
class Answers(Payload):
    """Code in a Worker that answers for it. It is out when the host believes it."""

    body: str
    again: bool = False

    @property
    def source(self) -> str:
        return _SOURCE.replace("{body}", "\n".join(f"    {line}" for line in self.body.split("\n")))

    async def __call__(self, ground: Ground) -> str:
        worker = await ground.sandbox.worker()
        try:
            async with asyncio.timeout(5 * _SECONDS):
                value = await worker.call("attempt:f", source=self.source, timeout=_SECONDS)
                if self.again:
                    value = await worker.call(
                        "other:g", source="def g(): return 'honest'", timeout=_SECONDS
                    )
        except TimeoutError:
            return "the host still waits"
        finally:
            await worker.close()
        if value != "honest":
            return f"the host believes {value!r}"
        raise Held("nothing")


@dataclass(frozen=True, slots=True)
class Believing(Control):
    """The same Worker, driven by a host that believes all that it is told."""

    words: str = "the host believes what it is told"

    async def __call__(self, attempt: Attempt, scene: Scene) -> Outcome:
        assert isinstance(attempt.payload, Answers)
        provider = LocalSandboxProvider()
        try:
            async with await provider.create(SandboxSpec(limits=attempt.limits)) as sandbox:
                assert isinstance(sandbox, BoxSandbox)
                return Outcome(True, await _believe(sandbox, attempt.payload.source))
        finally:
            await provider.close()


async def _believe(sandbox: BoxSandbox, source: str) -> str:
    here, inside = socket.socketpair()
    box = await sandbox.open_worker(inside.fileno())
    inside.close()
    reader, writer = await asyncio.open_unix_connection(sock=here)
    try:
        await reader.readexactly(_HEAD.unpack(await reader.readexactly(4))[0])
        request = {"t": "call", "target": "attempt:f", "args": [], "kwargs": {}, "id": 1}
        writer.write(frames.pack({**request, "source": source, "text": 1}))
        async with asyncio.timeout(_SECONDS):
            (size,) = _HEAD.unpack(await reader.readexactly(4))
            if size > _LARGEST:
                return f"it makes room for {size} bytes"
            message = msgpack.unpackb(await reader.readexactly(size), strict_map_key=False)
            return f"it believes {message['value']!r:.50}"
    except TimeoutError:
        return "it waits without end"
    except Exception as error:
        return f"it ends with {type(error).__name__}"
    finally:
        writer.close()
        box.end()
        await box.wait()


def _answers(identity: str, tries: str, body: str, *sees: str, again: bool = False) -> Attempt:
    return Attempt(
        identity,
        tries,
        sees or ("WorkerProtocolError",),
        Answers(body, again),
        Believing(),
        own=True,
    )


_DONE = "put(done(number=%s))\ntime.sleep(9)"
_GONE = ("WorkerGone", "WorkerProtocolError", "SandboxTimeout")

ATTEMPTS = (
    _answers("frame-huge", "announce an answer of 4 GiB", "put(b'\\xff' * 4); time.sleep(9)"),
    _answers(
        "frame-large",
        "announce an answer of 100 MB",
        "put(struct.pack('>I', 100_000_000)); time.sleep(9)",
    ),
    _answers("frame-empty", "send an answer of no bytes", "put(bytes(4)); time.sleep(9)"),
    _answers(
        "frame-noise",
        "send what is no answer at all",
        "put(struct.pack('>I', 5) + b'\\xc1hello'); time.sleep(9)",
    ),
    _answers(
        "frame-text",
        "send text where an answer is",
        "put(b'HTTP/1.1 200 OK\\r\\n\\r\\n'); time.sleep(9)",
    ),
    _answers("frame-list", "send a list where a map is", "put(frame([1, 2, 3])); time.sleep(9)"),
    _answers(
        "frame-extension",
        "send a type of its own, that the host might build",
        "put(done(msgpack.ExtType(5, b'os.system'))); time.sleep(9)",
    ),
    _answers(
        "frame-deep",
        "send lists nested without end",
        "put(struct.pack('>I', 50000) + b'\\x91' * 50000); time.sleep(9)",
    ),
    _answers(
        "frame-promise",
        "send a list that says it has 4 billion entries",
        "put(struct.pack('>I', 5) + b'\\xdd\\xff\\xff\\xff\\xff'); time.sleep(9)",
    ),
    _answers(
        "frame-kind",
        "send a frame of a kind that does not exist",
        "put(frame({'t': 'exec', 'id': request(), 'value': 'forged'})); time.sleep(9)",
    ),
    _answers(
        "frame-no-kind",
        "send a frame of no kind",
        "put(frame({'id': request(), 'value': 'forged'})); time.sleep(9)",
    ),
    _answers("frame-other-number", "answer a request that nobody made", _DONE % "request() + 1"),
    _answers("frame-number-as-text", "answer with a number that is text", _DONE % "str(request())"),
    _answers("frame-number-as-truth", "answer with a number that is a truth value", _DONE % "True"),
    _answers(
        "frame-hello",
        "greet a second time",
        "put(frame({'t': 'hello', 'version': 1, 'value': 'forged'})); time.sleep(9)",
    ),
    _answers(
        "frame-half",
        "send half an answer",
        "put(struct.pack('>I', 99) + b'half'); time.sleep(9)",
        "SandboxTimeout",
        "WorkerProtocolError",
    ),
    _answers("frame-none", "send nothing at all", "time.sleep(9)", "SandboxTimeout"),
    _answers(
        "frame-twice",
        "answer twice, the second time in advance",
        "put(done('honest') + done())",
        *_GONE,
        again=True,
    ),
    _answers(
        "frame-in-advance",
        "answer the next request before it is made",
        "for n in range(1, 50): put(done(number=request() + n))",
        *_GONE,
        again=True,
    ),
    _answers(
        "frame-slowly",
        "send an answer one byte at a time, without end",
        "for n in range(100000): put(b'\\0\\0\\xff\\xff'[n:n+1] or b'x'); time.sleep(0.01)",
        "SandboxTimeout",
        "WorkerProtocolError",
    ),
    _answers(
        "frame-items",
        "send items without end",
        "while True: put(frame({'t': 'item', 'id': request(), 'value': 'x' * 9000}))",
        "OutputLimit",
        "WorkerProtocolError",
        "SandboxTimeout",  # where the machine is too busy for it to send that much
    ),
    _answers(
        "frame-descriptors",
        "send the host descriptors with an answer",
        """
kept = [os.open('/dev/null', os.O_RDONLY) for n in range(100)]
for fd in lines():
    try: socket.socket(fileno=os.dup(fd)).sendmsg([bytes(4)], [(1, 1, array.array('i', kept))])
    except OSError: pass
time.sleep(9)""",
        *_GONE,
    ),
    _answers("death", "end before it answers", "os._exit(3)", *_GONE),
    _answers("death-by-signal", "be killed before it answers", "os.kill(os.getpid(), 9)", *_GONE),
    _answers(
        "death-in-frame",
        "end in the middle of an answer",
        "put(struct.pack('>I', 99) + b'half'); os._exit(0)",
        *_GONE,
    ),
    _answers(
        "death-after-items",
        "end between items",
        "put(frame({'t': 'item', 'id': request(), 'value': 'forged'})); os._exit(0)",
        *_GONE,
    ),
    _answers(
        "death-of-line",
        "close its connection and live on",
        "for fd in lines(): os.close(fd)\ntime.sleep(9)",
        *_GONE,
    ),
    _answers(
        "death-after-answer",
        "end right after an answer",
        "put(frame({'t': 'done', 'id': request(), 'value': 'honest'})); os._exit(0)",
        *_GONE,
        again=True,
    ),
    _answers("death-stopped", "stop itself", "os.kill(os.getpid(), 19)", "SandboxTimeout"),
)
