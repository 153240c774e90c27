"""More output than anybody wants."""

from __future__ import annotations

from dataclasses import replace

from codin.testing.escapes.base import LIMITS, Act, Attempt, Code, Ground, Held, NotRun
from codin.testing.escapes.weaken import Weaker

_LIMITS = replace(LIMITS, output_bytes=256 * 1024)
_UNLIMITED = Weaker("no limit on output", limits=replace(LIMITS, output_bytes=None))
_STATES = "\x1b]0;taken\x07\x1b[2J\x1b[31m\r\x08\x9b5n\u202e"


def _flood(identity: str, tries: str, code: str) -> Attempt:
    said = f"{code}\ngot('much more than the limit')"
    return Attempt(
        identity, tries, ("OutputLimit",), Code(said), _UNLIMITED, _LIMITS, own=True, alone=True
    )


async def _session(ground: Ground) -> str:
    result = await ground.sandbox.run_code("print('x' * 4_000_000)")
    return f"{len(result.stdout)} characters"


async def _value(ground: Ground) -> str:
    worker = await ground.sandbox.worker()
    source = "def f(): return 'x' * 4_000_000"
    try:
        return f"{len(await worker.call('attempt:f', source=source))} characters"
    finally:
        await worker.close()


async def _items(ground: Ground) -> str:
    worker = await ground.sandbox.worker()
    source = "def f():\n    for n in range(4000): yield 'x' * 1000"
    try:
        return f"{len(await worker.call('attempt:f', source=source))} items"
    finally:
        await worker.close()


async def _terminal(ground: Ground) -> str:
    """What would move a terminal's cursor comes out as the same bytes, as data."""
    wanted = _STATES.encode()
    code = f"import sys; sys.stdout.buffer.write({wanted!r})"
    result = await ground.sandbox.exec([ground.python, "-c", code])
    if result.stdout != wanted:
        return f"other bytes: {result.stdout!r}"
    if (found := await ground.sandbox.run_code(f"{_STATES!r}")).value != repr(_STATES):
        return f"another value: {found.value!r}"
    raise Held("nothing")


async def _not_text(ground: Ground) -> str:
    """Bytes that are no text are bytes, and no error of the host's."""
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)))"
    result = await ground.sandbox.exec([ground.python, "-c", code])
    if result.stdout != bytes(range(256)):
        return f"other bytes: {result.stdout!r}"
    await ground.sandbox.run_code(code)
    raise Held("nothing")


ATTEMPTS = (
    _flood("output", "print without end", "for n in range(60000): os.write(1, b'x' * 79 + b'\\n')"),
    _flood(
        "errors",
        "print errors without end",
        "for n in range(60000): os.write(2, b'x' * 79 + b'\\n')",
    ),
    _flood(
        "output-and-errors",
        "print both without end",
        "for n in range(600): os.write(1, b'x' * 4096); os.write(2, b'x' * 4096)",
    ),
    _flood(
        "output-one-line",
        "print one line without end",
        "for n in range(60): os.write(1, b'x' * 65536)",
    ),
    _flood(
        "output-of-children",
        "have children print without end",
        """
for n in range(4):
    if os.fork() == 0:
        for m in range(300): os.write(1, b"x" * 4096 + b"\\n")
        os._exit(0)
for n in range(4): os.wait()
""",
    ),
    Attempt(
        "output-of-session",
        "print too much in a session",
        ("OutputLimit",),
        Act(_session),
        _UNLIMITED,
        _LIMITS,
        own=True,
    ),
    Attempt(
        "output-as-value",
        "return a value that is too large",
        ("OutputLimit", "WorkerProtocolError"),
        Act(_value),
        _UNLIMITED,
        _LIMITS,
        own=True,
    ),
    Attempt(
        "output-as-items",
        "yield items that are too many",
        ("OutputLimit",),
        Act(_items),
        _UNLIMITED,
        _LIMITS,
        own=True,
    ),
    Attempt(
        "output-for-terminals",
        "print what terminals obey",
        ("nothing",),
        Act(_terminal),
        NotRun("output is given on as the bytes that it is: there is nothing to take away"),
    ),
    Attempt(
        "output-no-text",
        "print what is no text",
        ("nothing",),
        Act(_not_text),
        NotRun("output is given on as the bytes that it is: there is nothing to take away"),
    ),
)
