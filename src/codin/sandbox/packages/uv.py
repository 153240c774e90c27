"""uv: where it is, how it is run apart from everything else, and what its words mean."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from codin.sandbox.base import MIB, Limits
from codin.sandbox.box.meter import TreeMeter
from codin.sandbox.box.process import BoxProcess
from codin.sandbox.box.watchdog import Watchdog
from codin.sandbox.errors import (
    DiskLimit,
    LimitExceeded,
    OutOfMemory,
    SandboxTimeout,
    SandboxUnavailable,
)
from codin.sandbox.local import bwrap
from codin.sandbox.local.box import BwrapBox
from codin.sandbox.packages.errors import (
    IndexUnreachable,
    PackageDiskFull,
    PackageError,
    PackageNotFound,
    PackageTimeout,
    PackageTooLarge,
    PackageUnsafe,
)
from codin.sandbox.packages.target import redact

_MEMORY = 2048 * MIB
_TOLD = 1200
# The words of uv, in the order in which they are looked for: a failure names its causes too.
_MEANINGS: tuple[tuple[tuple[str, ...], type[PackageError], str], ...] = (
    (("No space left", "os error 28", "Disk quota"), PackageDiskFull, "the disk is full"),
    (
        ("Failed to extract", "Failed to install", "invalid zip", "Hash mismatch"),
        PackageUnsafe,
        "a wheel is broken",
    ),
    (
        ("Failed to fetch", "error sending request", "Request failed", "Failed to download"),
        IndexUnreachable,
        "the package index cannot be reached",
    ),
    (
        ("No solution found", "unsatisfiable", "no usable wheels", "attempted to resolve via URL"),
        PackageNotFound,
        "these packages are not to be had as wheels",
    ),
)


def find() -> Path:
    """The uv of its package, beside Python, or on the path.

    Raises:
        SandboxUnavailable: there is none.
    """
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        beside = Path(sys.executable).parent / "uv"
        found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise SandboxUnavailable(
            "sandboxes with requirements need uv, which is not here: "
            "pip install 'codin[platform]', or pip install uv"
        )
    return Path(found)


class Uv:
    """Runs uv so that it can write to one folder only: it unpacks what nobody has looked at.

    It sees the files that this user sees, has the network, and ends with this process.
    ``until`` is the moment (``time.monotonic``) at which it is ended.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, most: int, until: float
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._most = most
        self._until = until

    async def run(self, command: Sequence[str], arguments: Sequence[str]) -> None:
        """Run a command of uv in the folder.

        Raises:
            PackageError: one of its kinds, with what uv said in short.
            SandboxUnavailable: there is no uv, or it cannot be put apart.
        """
        here = str(self._folder)
        left = max(self._until - time.monotonic(), 0.01)
        # what is unpacked is linked to where it goes, and counts there too
        limits = Limits(
            memory_bytes=_MEMORY,
            processes=None,
            disk_bytes=2 * self._most,
            wall_seconds=left,
            output_bytes=4 * MIB,
        )
        argv = [
            *(str(find()), *command, "--no-config", "--no-progress", "--color", "never"),
            *("--no-python-downloads", "--only-binary", ":all:", "--cache-dir", "cache"),
            *arguments,
        ]
        launch = bwrap.Launch(
            argv=argv,
            view=["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", here, here],
            env={**self._environment, "TMPDIR": here},
            cwd=here,
            limits=limits,
            join=(),
            start_in=here,
            share_network=True,
        )
        box = BwrapBox(limits, argv)
        await box.launch(bwrap.find(), launch, TreeMeter)
        await _finish(box, Watchdog(limits, [self._folder]), most=self._most)


async def _finish(box: BwrapBox, watchdog: Watchdog, *, most: int) -> None:
    watchdog.add(box)
    process = BoxProcess(box)
    try:
        result = await process.wait()
    except SandboxTimeout as error:
        raise PackageTimeout("the packages could not be had in time; ask for fewer") from error
    except (DiskLimit, OutOfMemory) as error:
        raise PackageTooLarge(
            f"the packages are larger than the {most} bytes that a layer may have"
        ) from error
    except LimitExceeded as error:
        raise PackageError(f"uv was ended: {error}") from error
    finally:
        await process.kill()
        await watchdog.stop()
    if result.exit_code != 0:
        raise meaning((result.stderr or result.stdout).decode(errors="replace"))


def meaning(said: str) -> PackageError:
    """The error for what uv said when it failed."""
    text = redact(" ".join(said[max(said.find("error:"), 0) :].split()))[:_TOLD]
    for signs, kind, what in _MEANINGS:
        if any(sign in said for sign in signs):
            return kind(f"{what}: {text}")
    return PackageError(f"uv failed: {text}")
