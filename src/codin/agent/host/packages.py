"""Packages of a host's own: an agent's framework in the versions that it wants, beside codin.

Packages that an agent names are a layer (``codin.sandbox.packages``) that holds them and what a
host itself needs, resolved together. The host's Python is started without the platform's packages,
so that neither sees the other's. A Python that an agent names is used as it is; what a host needs
and it has not is a layer too, in versions that leave its own alone.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import codin
from codin.agent.host.containers import Containers, platform_of
from codin.agent.host.interpreter import Interpreter, look_at
from codin.agent.host.wire import HostStartError
from codin.sandbox.base import Mount
from codin.sandbox.local.layout import BASE_PATH

if TYPE_CHECKING:
    from codin.sandbox.packages import PackageLayers

INSTALLED = "/opt/codin-host"
"""Where a host finds codin, and its packages if it has its own."""

CURRENT = "current"
"""What the environment of the platform itself is called."""

Say = Callable[[str], None]

_CODIN = f"{INSTALLED}/codin"
_SITE = f"{INSTALLED}/site"
_VENV = f"{INSTALLED}/venv"


@dataclass(frozen=True, slots=True)
class Environment:
    """What an agent names for its host: ``requirements``, or a ``python``, or an ``image`` of
    containers; with nothing of it, the platform's own packages."""

    requirements: tuple[str, ...] = ()
    python: str | None = None
    image: str | None = None

    @property
    def label(self) -> str:
        """How it is called where people see it."""
        if self.image is not None:
            return f"image {self.image}"
        if self.python is not None:
            return f"python {self.python}"
        if self.requirements:
            told = "\n".join(sorted(self.requirements))
            return f"requirements {hashlib.sha256(told.encode()).hexdigest()[:8]}"
        return CURRENT


PLATFORMS = Environment()
"""That of the platform itself."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """With what a host is started: its Python, what is shown to it, and its variables."""

    python: tuple[str, ...]
    mounts: tuple[Mount, ...]
    path: str
    programs: str | None = BASE_PATH

    @property
    def env(self) -> dict[str, str]:
        """The variables by which packages and their programs are found."""
        programs = {} if self.programs is None else {"PATH": self.programs}
        return {"PYTHONPATH": self.path, **programs}


class Environments:
    """Makes the surroundings of hosts. Layers are held, and containers run, until ``close``."""

    def __init__(
        self, layers: PackageLayers | None = None, containers: Containers | None = None
    ) -> None:
        self._given = layers
        self.containers = containers or Containers()
        self._held: set[Path] = set()

    async def surroundings(self, named: Environment, say: Say) -> Surroundings:
        """Those of a host whose agents name ``named``. Its codin is the very one that runs here.

        ``say`` is told in a line what goes on, where something has to be built.

        Raises:
            HostStartError: the Python that is named, or that of the image, cannot be used.
            PackageError: the packages cannot be had.
            SandboxUnavailable: there is no such image, or nothing that runs it.
        """
        if named.image is not None:
            return await self._of_image(named.image, say)
        if named.python is not None:
            return await self._of_python(await look_at(named.python), named.python, say)
        if named.requirements:
            return await self._of_requirements(named.requirements, say)
        return Surroundings((sys.executable,), codin_itself(), INSTALLED)

    async def _of_requirements(self, requirements: Sequence[str], say: Say) -> Surroundings:
        layer = await self._layer((*requirements, *own_requirements()), say)
        return Surroundings(
            # without site there are no packages but those on the path
            python=(sys.executable, "-S"),
            mounts=(*codin_itself(), Mount(layer, _SITE)),
            path=f"{INSTALLED}:{_SITE}",
            programs=f"{_SITE}/bin:{BASE_PATH}",
        )

    async def _of_python(self, found: Interpreter, python: str, say: Say) -> Surroundings:
        layer = await self.missing(found, f"python = {python!r}", say)
        shown = {folder: _place_of(folder, found) for folder in found.folders()}
        executable = found.executable
        for folder, place in shown.items():
            if Path(executable).is_relative_to(folder):
                executable = str(place / Path(executable).relative_to(folder))
                break
        return Surroundings(
            python=(executable,),
            mounts=(
                *(Mount(folder, str(place)) for folder, place in shown.items()),
                *codin_itself(),
                Mount(layer, _SITE),
            ),
            path=f"{INSTALLED}:{_SITE}",
            programs=f"{Path(executable).parent}:{_SITE}/bin:{BASE_PATH}",
        )

    async def _of_image(self, image: str, say: Say) -> Surroundings:
        found = await self.containers.look_at(image)
        layer = await self.missing(found, f"image = {image!r}", say, platform_of(found))
        return Surroundings(
            python=(found.executable,),
            mounts=(*codin_itself(), Mount(layer, _SITE)),
            path=f"{INSTALLED}:{_SITE}",
            programs=None,  # the image's own
        )

    async def missing(
        self, found: Interpreter, what: str, say: Say, platform: str | None = None
    ) -> Path:
        """A layer of what a host needs and the Python ``found`` has not.

        Raises:
            HostStartError: it has something in a version that a host cannot work with.
        """
        from codin.sandbox.packages import PackageNotFound

        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        python = None if found.named == own and platform is None else found.named
        try:
            return await self._layer(
                own_requirements(), say, python=python, platform=platform, beside=found.exact
            )
        except PackageNotFound as error:
            raise HostStartError(
                f"{what} has packages that an agent host of codin does not go with, and they are "
                f"left as they are: name requirements instead, or change them. {error}"
            ) from error

    async def _layer(
        self,
        requirements: Sequence[str],
        say: Say,
        *,
        python: str | None = None,
        platform: str | None = None,
        beside: Sequence[str] = (),
    ) -> Path:
        layers = self._open()
        layer = await layers.get(
            requirements, python=python, platform=platform, beside=beside, say=say
        )
        if layer in self._held:
            layers.release(layer)  # once is enough
        self._held.add(layer)
        return layer

    async def close(self) -> None:
        """Hold no layer any more, and end all containers."""
        await self.containers.close()
        held, self._held = self._held, set()
        for layer in held:
            self._open().release(layer)

    def _open(self) -> PackageLayers:
        if self._given is None:
            from codin.sandbox.packages import PackageLayers

            self._given = PackageLayers()
        return self._given


def _place_of(folder: Path, found: Interpreter) -> Path:
    """Where a folder of a Python is shown: where it is, but for a virtual environment below one of
    the folders that every sandbox has of its own; it works elsewhere too."""
    own = any(folder.is_relative_to(top) for top in ("/tmp", "/dev", "/proc", "/sys", "/etc"))  # noqa: S108
    return Path(_VENV) if own and str(folder) == found.venv else folder


def codin_itself() -> tuple[Mount, ...]:
    """Shows the codin that runs here."""
    return (Mount(Path(codin.__file__).parent, _CODIN),)


def own_requirements() -> tuple[str, ...]:
    """What codin's base needs, as it was installed: a host needs no more."""
    return tuple(line for line in requires("codin") or () if "extra ==" not in line)
