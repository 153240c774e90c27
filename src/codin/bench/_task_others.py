"""Others that keep steps, each a program of its own with its own packages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codin.bench._pairs import NotHere
from codin.bench._programs import complaints, program
from codin.bench.base import BenchError

if TYPE_CHECKING:
    from codin.bench._pairs import Way

DBOS = ("_task_dbos.py", ("dbos>=3.4",))
LANGGRAPH = ("_task_langgraph.py", ("langgraph>=1.2.22", "langgraph-checkpoint-sqlite>=3.1"))
_SECONDS = 600.0


class Other:
    """A program that does what is asked of it, and says how long it took."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    def asked(self, *words: object) -> Way:
        """A way to the figure that ``words`` give."""

        async def way() -> float:
            process = self._process
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
            try:
                async with asyncio.timeout(_SECONDS):
                    line = await process.stdout.readline()
                return float(line)
            except (TimeoutError, ValueError) as error:
                asked = " ".join(map(str, words))
                raise BenchError(f"{asked} failed: {complaints(self._log)}") from error

        return way


@asynccontextmanager
async def other(
    what: tuple[str, tuple[str, ...]], place: str, folder: Path
) -> AsyncIterator[Other]:
    """``what``, which keeps its steps at ``place``; what it complains of goes below ``folder``.

    Raises:
        NotHere: its packages cannot be had.
    """
    from codin.errors import CodinError
    from codin.sandbox.packages import PackageLayers

    name, requirements = what
    layers = PackageLayers()
    try:
        layer = await layers.get(requirements)
    except CodinError as error:
        raise NotHere(f"{', '.join(requirements)} cannot be had: {error}") from error
    log = folder / f"{name}.log"
    file = str(Path(__file__).with_name(name))
    try:
        # without site there are no packages but its own; its folder has modules of other programs
        async with program(("-SP", file, place), log, {"PYTHONPATH": str(layer)}) as process:
            yield Other(process, log)
    finally:
        layers.release(layer)
