"""What comes out of a sandbox: output as it comes, how a run ended, and what it used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """Some bytes of output, as they came. No sandbox gives ``progress``: a tool says with it how
    far it is."""

    stream: Literal["stdout", "stderr", "progress"]
    data: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used: seconds, and the peak of resident memory in bytes where it is known."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The end of a command. ``exit_code`` is negative for the signal that ended it."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class CodeResult:
    """The end of a piece of code. ``error`` is the traceback of what it raised, or ``None``.

    ``value`` is the ``repr`` of the last expression of the code, where the language has that.
    ``state_lost`` says that this session began anew because the process that held its state was
    ended since the last call (a limit, a crash, a cancelled call).
    """

    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    error: str | None = None
    usage: Usage = field(default_factory=Usage)
    state_lost: bool = False


OnOutput = Callable[[OutputChunk], None]
"""Called with each chunk of output, in order, while code runs. Must not block."""
