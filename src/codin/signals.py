"""Reacting to signals in an event loop, so that none is lost.

asyncio's ``add_signal_handler`` learns of a signal from a byte in the pipe that also carries the
wake-ups of other threads. A loop that is busy while threads hand it much has that pipe full; the
byte, and the signal with it, is then dropped. A handler of the interpreter's own is always run.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a process to end."""


@contextlib.contextmanager
def on_signals(
    react: Callable[[], object], numbers: tuple[signal.Signals, ...] = ENDING
) -> Iterator[None]:
    """Have the running loop call ``react`` on each of the signals, instead of what they do
    otherwise. Only in the main thread."""
    loop = asyncio.get_running_loop()

    def handler(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(react)

    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
