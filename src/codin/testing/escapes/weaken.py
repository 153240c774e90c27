"""Sandboxes with one protection taken away, and no sandbox at all: what controls run in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from codin.sandbox.base import Limits, SandboxSpec
from codin.sandbox.local import LocalSandboxProvider, bwrap
from codin.testing.escapes.base import Attempt, Code, Control, Ground, Outcome, judge, outcome
from codin.testing.escapes.base import Held as HeldError
from codin.testing.escapes.inside import PROGRAM
from codin.testing.escapes.scene import Scene

Edit = Callable[[list[str], Scene], list[str]]
"""Changes bubblewrap's arguments."""

_TERMINAL = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
_SPACES = ("ipc", "pid", "net", "uts", "cgroup-try")
_EDITS: ContextVar[tuple[Sequence[Edit], Scene] | None] = ContextVar("edits", default=None)


def share(*spaces: str) -> Edit:
    """Leave these namespaces (``user``, ``pid``, ``net``, ``ipc``, ``uts``) the host's."""

    def edit(args: list[str], _: Scene) -> list[str]:
        kept = [f"--unshare-{name}" for name in _SPACES if name.split("-")[0] not in spaces]
        args = _replaced(args, ["--unshare-all"], kept)
        if "user" in spaces:
            for flag, more in (("--unshare-user", 0), ("--disable-userns", 0), ("--uid", 1)):
                args = without(flag, more)(args, _)
            args = without("--gid", 1)(args, _)
        return args

    return edit


def without(flag: str, values: int = 0, *, first: str | None = None) -> Edit:
    """Without a flag and its values."""

    def edit(args: list[str], _: Scene) -> list[str]:
        for at in range(len(args) - 1, -1, -1):
            if args[at] == flag and (first is None or args[at + 1] == first):
                del args[at : at + 1 + values]
        return args

    return edit


def add(*more: str) -> Edit:
    """With more arguments, before the root is made read-only."""

    def edit(args: list[str], scene: Scene) -> list[str]:
        facts = scene.facts()
        added = [text.format(**facts) for text in more]
        at = len(args) - 1 - args[::-1].index("--remount-ro")
        return [*args[:at], *added, *args[at:]]

    return edit


no_filter = without("--seccomp", 1)
nested_users = without("--disable-userns")
kernel_files_writable = without("--remount-ro", 1, first="/proc")


def show() -> Edit:
    """The host's folder shown inside."""
    return add("--ro-bind", "{folder}", "{folder}")


def host_etc(args: list[str], _: Scene) -> list[str]:
    """All of the host's ``/etc``."""
    at = args.index("/etc") - 1
    return [*args[:at], "/etc", *args[at + 1 :]]


def host_devices(args: list[str], _: Scene) -> list[str]:
    """All of the host's ``/dev``."""
    args = without("--remount-ro", 1, first="/dev")(args, _)
    return _replaced(args, ["--dev", "/dev"], ["--dev-bind", "/dev", "/dev"])


def caps(*names: str) -> Edit:
    """With capabilities."""
    return add(*(word for name in names for word in ("--cap-add", name)))


def master(args: list[str], _: Scene) -> list[str]:
    """Root of the user namespace that its other namespaces belong to."""
    args = nested_users(args, _)
    for flag in ("--uid", "--gid"):
        args[args.index(flag) + 1] = "0"
    return args


def _replaced(args: list[str], old: list[str], new: list[str]) -> list[str]:
    for at in range(len(args)):
        if args[at : at + len(old)] == old:
            return [*args[:at], *new, *args[at + len(old) :]]
    raise AssertionError(f"bubblewrap is no longer started with {old}")


@contextlib.contextmanager
def _folder(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def weakening() -> Iterator[None]:
    """While this is open, a task that has asked for edits has bubblewrap started with them."""
    original: Callable[..., bytes] = bwrap.arguments

    def edited(*args: Any, **kwargs: Any) -> bytes:
        words = [os.fsdecode(word) for word in original(*args, **kwargs).split(b"\0")[:-1]]
        asked = _EDITS.get()
        for edit in asked[0] if asked else ():
            assert asked is not None
            words = edit(words, asked[1])
        return b"".join(os.fsencode(word) + b"\0" for word in words)

    bwrap.arguments = edited
    try:
        yield
    finally:
        bwrap.arguments = original


@dataclass(frozen=True, slots=True)
class Weaker(Control):
    """The same attempt, in a local sandbox that was made weaker in this one way.

    ``root`` says that only root can take the protection away: a user never has what it guards.
    """

    words: str
    edits: tuple[Edit, ...] = ()
    limits: Limits | None = None
    root: bool = False

    @property
    def runs(self) -> bool:
        return not (self.root and os.geteuid() != 0)

    async def __call__(self, attempt: Attempt, scene: Scene) -> Outcome:
        limits = self.limits or attempt.limits
        provider = LocalSandboxProvider()
        try:
            await provider.probe()  # with all of its protections
            _EDITS.set((self.edits, scene))
            async with await provider.create(SandboxSpec(limits=limits)) as sandbox:
                ground = Ground(sandbox, scene, sandbox.fs, sys.executable, limits)
                return await outcome(attempt.payload, ground)
        finally:
            await provider.close()


@dataclass(frozen=True, slots=True)
class Bare(Control):
    """The same code as a plain process of the host's, in no sandbox."""

    words: str = "no sandbox: a plain process of the same user"
    root: bool = False
    terminal: bool = False
    leak: bool = False

    @property
    def runs(self) -> bool:
        return not (self.root and os.geteuid() != 0)

    async def __call__(self, attempt: Attempt, scene: Scene) -> Outcome:
        assert isinstance(attempt.payload, Code)
        argv = [sys.executable, "-c", PROGRAM, json.dumps(scene.facts()), attempt.payload.text]
        if self.terminal:
            argv = [sys.executable, "-c", _TERMINAL, *argv]
        with TemporaryDirectory(prefix="codin-escapes-bare-") as folder, _folder(folder) as fd:
            process = await asyncio.create_subprocess_exec(
                *argv,
                pass_fds=[fd] if self.leak else [],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=Path(folder),
                start_new_session=True,
            )
            said, errors = await process.communicate()
        try:
            return Outcome(
                True, judge(said.decode(errors="replace"), errors, process.returncode or 0)
            )
        except HeldError as error:
            return Outcome(False, error.how)
        except RuntimeError as error:
            return Outcome(False, "", broken=str(error))
