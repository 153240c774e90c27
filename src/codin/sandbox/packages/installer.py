"""The contract of what fetches wheels, and how it is kept apart from everything else."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codin.sandbox.base import MIB, Limits
from codin.sandbox.box.meter import TreeMeter
from codin.sandbox.box.process import BoxProcess
from codin.sandbox.box.watchdog import Watchdog
from codin.sandbox.errors import DiskLimit, LimitExceeded, OutOfMemory, SandboxTimeout
from codin.sandbox.local import bwrap
from codin.sandbox.local.box import BwrapBox
from codin.sandbox.packages.errors import PackageError, PackageTimeout, PackageTooLarge
from codin.sandbox.packages.target import Target, redact

_MEMORY = 2048 * MIB
_TOLD = 1200

Meanings = Sequence[tuple[Sequence[str], type[PackageError], str]]
"""Words of a failed installer, the error that they are, and how that is said. In order."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One package of a layer, exactly. ``hashes`` are of the wheels that it may come from."""

    name: str
    version: str
    hashes: tuple[str, ...]


class Installer(ABC):
    """Resolves requirements and unpacks wheels, in one folder, the only one that it can write to.

    It sees the files that this user sees, has the network, and ends with this process: what it
    unpacks nobody has looked at. ``until`` is the moment (``time.monotonic``) at which it is
    ended, ``most`` how many bytes the packages may have.
    """

    name: str
    meanings: Meanings

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, most: int, until: float
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._most = most
        self._until = until

    @abstractmethod
    async def resolve(self, target: Target, requirements: str, kept: str) -> list[Resolved]:
        """The exact packages of ``requirements``, a file of the folder; those that the file
        ``kept`` names are of the versions that stand there.

        Raises:
            PackageError: one of its kinds, with what the installer said in short.
            SandboxUnavailable: it is not here, or cannot be put apart.
        """

    @abstractmethod
    async def install(self, target: Target, lock: str, into: str) -> None:
        """Unpack what the file ``lock`` names, by hash and nothing else, to a folder below."""

    async def _apart(self, argv: Sequence[str]) -> None:
        """Run a command in the folder, to its end."""
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
        await self._finish(box, Watchdog(limits, [self._folder]))

    def _told(self, out: str, err: str) -> str:
        """What the installer said of its failure."""
        return err or out

    async def _finish(self, box: BwrapBox, watchdog: Watchdog) -> None:
        watchdog.add(box)
        process = BoxProcess(box)
        try:
            result = await process.wait()
        except SandboxTimeout as error:
            raise PackageTimeout("the packages could not be had in time; ask for fewer") from error
        except (DiskLimit, OutOfMemory) as error:
            raise PackageTooLarge(
                f"the packages are larger than the {self._most} bytes that a layer may have"
            ) from error
        except LimitExceeded as error:
            raise PackageError(f"{self.name} was ended: {error}") from error
        finally:
            await process.kill()
            await watchdog.stop()
        if result.exit_code != 0:
            said = self._told(
                result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
            )
            raise meaning_of(said, self.name, self.meanings)


def meaning_of(said: str, name: str, meanings: Meanings) -> PackageError:
    """The error for what the installer ``name`` said when it failed."""
    begin = max(said.lower().find("error:"), 0)
    text = redact(" ".join(said[begin:].split()))[:_TOLD]
    for signs, kind, what in meanings:
        if any(sign in said for sign in signs):
            return kind(f"{what}: {text}")
    return PackageError(f"{name} failed: {text}")
