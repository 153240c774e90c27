"""What an attempt to get out of a sandbox is: how it is made, what must be seen, its control."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codin.sandbox.base import MIB, Limits, Sandbox
from codin.sandbox.errors import SandboxError
from codin.sandbox.filesystem import FileSystem
from codin.testing.escapes.inside import PROGRAM
from codin.testing.escapes.scene import Scene

LIMITS = Limits(
    cpu_seconds=20.0,
    memory_bytes=256 * MIB,
    processes=48,
    disk_bytes=64 * MIB,
    wall_seconds=20.0,
    output_bytes=1 * MIB,
)
"""What every attempt runs under, unless it brings limits of its own."""


class Held(Exception):
    """An attempt came to nothing. ``how`` is the name of an errno, of an error, or a word."""

    def __init__(self, how: str, more: str = "") -> None:
        super().__init__(f"{how}: {more}" if more else how)
        self.how = how


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. ``how`` names what held it (an errno, an error), or what got out.

    ``broken`` is what went wrong with the attempt itself: nothing has been shown then.
    """

    got: bool
    how: str
    broken: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Ground:
    """What an attempt stands on. ``fs`` is the sandbox's own, or in a control a careless one.

    ``workspace`` is the host's folder behind ``/workspace``, where it is known.
    """

    sandbox: Sandbox
    scene: Scene
    fs: FileSystem
    python: str
    limits: Limits
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        found = getattr(self.sandbox, "workspace", None)
        assert isinstance(found, Path)
        return found

    async def inside(self, code: str) -> str:
        """Run Python code inside; gives what it said with ``got``.

        Raises:
            Held: it came to nothing.
            SandboxError: it was ended.
        """
        facts = json.dumps({**self.scene.facts(), **self.facts})
        argv = [self.python, "-c", PROGRAM, facts, code]
        result = await self.sandbox.exec(argv, limits=self.limits)
        return judge(result.stdout.decode(errors="replace"), result.stderr, result.exit_code)


def judge(said: str, errors: bytes, code: int) -> str:
    """What the program inside said at its end: see ``inside.PROGRAM``.

    Raises:
        Held: it came to nothing.
        RuntimeError: it did not get as far as that.
    """
    lines = [line for line in said.splitlines() if line.startswith("@")]
    kind, _, rest = lines[-1].partition(" ") if lines else ("", "", "")
    if kind == "@got":
        return rest
    if kind == "@held":
        raise Held(rest)
    if code < 0 or code > 128:
        raise Held(f"signal {-code if code < 0 else code - 128}")
    raise RuntimeError(f"{said[-500:]}{errors.decode(errors='replace')[-1500:]} (exit code {code})")


class Payload(ABC):
    """How an attempt is made."""

    @abstractmethod
    async def __call__(self, ground: Ground) -> str:
        """What got out, in words.

        Raises:
            Held, SandboxError: nothing did.
        """


@dataclass(frozen=True, slots=True)
class Code(Payload):
    """Python code that runs inside. It calls ``got`` when it is out."""

    text: str

    async def __call__(self, ground: Ground) -> str:
        return await ground.inside(self.text)


@dataclass(frozen=True, slots=True)
class Act(Payload):
    """Calls of the host's, against what code inside has made or does meanwhile."""

    function: Callable[[Ground], Awaitable[str]]

    async def __call__(self, ground: Ground) -> str:
        return await self.function(ground)


class Control(ABC):
    """How it is shown that an attempt would succeed, were its one protection not there."""

    words: str

    @property
    def runs(self) -> bool:
        """Whether whoever runs this can run it."""
        return True

    @abstractmethod
    async def __call__(self, attempt: Attempt, scene: Scene) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class NotRun(Control):
    """No control is run: ``words`` is the sentence that says why."""

    words: str

    @property
    def runs(self) -> bool:
        return False

    async def __call__(self, attempt: Attempt, scene: Scene) -> Outcome:
        raise AssertionError(f"the control of {attempt.id} is not run")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way out that is tried.

    ``sees`` are the names one of which must be seen for it to count as held: of errno, of an error
    of the sandbox, or ``nothing`` (it ran to its end and found nothing). ``own`` asks for a sandbox
    that no other attempt shares. ``alone`` asks that nothing else runs meanwhile. ``absent`` are
    the places in which it means nothing, each with the reason.
    """

    id: str
    tries: str
    sees: tuple[str, ...]
    payload: Payload
    control: Control
    limits: Limits = LIMITS
    own: bool = False
    alone: bool = False
    absent: Mapping[str, str] = field(default_factory=dict)


async def outcome(payload: Payload, ground: Ground) -> Outcome:
    """Make the attempt; whatever comes of it is an outcome."""
    began = time.monotonic()
    try:
        return Outcome(True, await payload(ground), seconds=time.monotonic() - began)
    except Held as error:
        return Outcome(False, error.how, seconds=time.monotonic() - began)
    except SandboxError as error:
        return Outcome(False, type(error).__name__, seconds=time.monotonic() - began)
    except Exception as error:
        return Outcome(False, "", broken=f"{type(error).__name__}: {error}")
