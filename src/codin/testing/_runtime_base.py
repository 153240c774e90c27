"""What the parts of the runtime's conformance suite share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from codin.runtime.base import Runtime
from codin.runtime.workload import Function

SOON = 15.0

SOURCE = """
import os, sys, time

def add(a, b=0):
    return a + b

def speak(lines, wait=0.0):
    for n in range(lines):
        print("line", n, flush=True)
        time.sleep(wait)
    print("aside", file=sys.stderr)
    return lines

def count(n):
    for i in range(n):
        yield i

def fail():
    raise ValueError("no good")

def forever():
    while True:
        time.sleep(1)

def flood():
    while True:
        print("x" * 1000)

def variable(name):
    return os.environ.get(name)

async def later(value):
    import asyncio
    await asyncio.sleep(0)
    return value

async def tick(n, wait=0.0):
    import asyncio
    for i in range(n):
        yield {"n": i}
        await asyncio.sleep(wait)

def half(n):
    yield from range(n)
    raise KeyError("after some")

def size(data):
    return len(data)

def grow(n):
    return b"x" * n

def leave(**files):
    for name, text in files.items():
        os.makedirs("out", exist_ok=True)
        with open(f"out/{name}.csv", "w") as file:
            file.write(text)
    open("other.txt", "w").close()

class Counter:
    def __init__(self, start=0):
        self.n = start

    def more(self, by=1):
        self.n += by
        return self.n
"""


class RuntimeChecks:
    """Checks of a runtime that is given by the fixture ``runtime``."""

    @pytest.fixture
    async def runtime(self) -> AsyncIterator[Runtime]:
        raise NotImplementedError("give the runtime to be checked")
        yield  # noqa: PT022 - as the fixtures do that replace it


def function(name: str, *args: object, **options: Any) -> Function:
    """A call of what ``SOURCE`` has under ``name``; ``kwargs`` are an option."""
    return Function(target=f"m:{name}", args=args, source=SOURCE, **options)


def running(mark: str) -> bool:
    """Whether any process of this machine has ``mark`` in its command."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in file.read_bytes():
                return True
        except OSError:
            continue
    return False


async def until(true: Callable[[], bool], seconds: float = SOON) -> None:
    """Return when it is so, which it has to be within ``seconds``."""
    late = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < late, "it did not become so"
        await asyncio.sleep(0.05)
