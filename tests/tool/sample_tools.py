"""Tools as a user writes them, in a module of their own."""

import asyncio
import os
import socket
import sys
import time
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Literal

from codin import tool
from codin.tool import ToolContext, ToolLimits, ToolUnavailable

STEPS = ("one", "two")


class Unit(Enum):
    KM = "km"
    MILE = "mile"


@dataclass
class Trip:
    name: str
    km: float


@tool
def add(a: int, b: int = 10) -> int:
    """Add two numbers.

    Args:
        a: the first number
        b: the second number
    """
    return a + b


@tool
async def later(text: str) -> str:
    """Give the text back, later."""
    await asyncio.sleep(0.01)
    return f"later {text}"


@tool(name="convert_trip", description="Convert a trip.", tags=("travel",))
def convert(trip: Trip, on: date, unit: Unit = Unit.KM) -> dict[str, object]:
    """Never shown: the description is given."""
    assert isinstance(trip, Trip)
    assert isinstance(on, date)
    factor = 1.0 if unit is Unit.KM else 0.62
    return {"name": trip.name, "length": trip.km * factor, "year": on.year, "unit": unit}


@tool
def who(context: ToolContext, mode: Literal["short", "long"] = "short") -> str:
    """Say who calls."""
    return f"{context.tenant}/{context.user}" if mode == "short" else f"{context.task_id}"


@tool
def broken(step: int) -> str:
    """Raise."""
    return STEPS[step]


@tool(limits=ToolLimits(seconds=0.5))
def hangs() -> None:
    """Never end."""
    while True:
        time.sleep(10)


@tool
def chatty(lines: int) -> str:
    """Print a lot."""
    for number in range(lines):
        print(f"line {number} " + "x" * 100)
    return "printed"


@tool(limits=ToolLimits(seconds=30, memory_bytes=200 * 1024 * 1024))
def hungry() -> int:
    """Take all memory."""
    return len([bytearray(1024 * 1024) for _ in range(2000)])


@tool(limits=ToolLimits(result_chars=1000))
def long_result(count: int) -> str:
    """Give a long text."""
    return "begin " + "x" * count + " end"


@tool
def odd() -> object:
    """Give what JSON has no word for."""
    return {"nan": float("nan"), "set": {1}, "bytes": b"\xff", 5: object, "big": 2**100}


@tool
def spy(port: int) -> dict[str, object]:
    """Try what a tool may not do."""
    found: dict[str, object] = {"pid": os.getpid(), "home": os.path.exists("/root/.bashrc")}
    found["environment"] = sorted(os.environ)
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        found["network"] = True
    except OSError:
        found["network"] = False
    return found


@tool(limits=ToolLimits(attempts=2))
def away() -> str:
    """Never be there."""
    print("tried", flush=True)
    raise ToolUnavailable("the service is away")


@tool
def leaves() -> None:
    """End the process."""
    sys.exit(7)


@tool(trusted=True)
def here() -> int:
    """Give the process id of where it runs."""
    return os.getpid()


@tool(trusted=True)
async def here_later(n: int) -> int:
    """Give the process id, later."""
    await asyncio.sleep(0)
    return os.getpid() + n


@tool(trusted=True, limits=ToolLimits(seconds=0.2))
async def here_hangs() -> None:
    """Never end."""
    await asyncio.sleep(100)


@tool(trusted=True)
def here_broken() -> int:
    """Divide by zero."""
    return 1 // 0


@tool
def count_slowly(to: int, seconds: float = 0) -> list[int]:
    """Count to a number."""
    time.sleep(seconds)
    if to < 0:
        raise ValueError("cannot count down")
    return list(range(1, to + 1))


@tool(trusted=True)
async def count_here(to: int, seconds: float = 0) -> list[int]:
    """Count to a number, in this process."""
    await asyncio.sleep(seconds)
    if to < 0:
        raise ValueError("cannot count down")
    return list(range(1, to + 1))
