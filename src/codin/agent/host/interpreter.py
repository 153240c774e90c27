"""A Python that an operator names for an agent: what it is, what it has, where its files are."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

from pydantic import BaseModel, ValidationError

from codin.agent.host.wire import HostStartError

OLDEST = (3, 11)
"""The oldest Python that codin runs with."""

_SECONDS = 20.0
_MOST_SAID = 4 * 1024 * 1024

# Without site (-S): of what is installed there nothing is run to say this.
ASKED = """
import json, os, platform, site, sys
from importlib.metadata import distributions
config = os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "pyvenv.cfg")
found = dict(map(str.strip, line.split("=", 1)) for line in open(config) if "=" in line) \\
    if os.path.isfile(config) else {}
prefixes = [os.path.dirname(config)] if found else []
if not found or found.get("include-system-site-packages") == "true":
    prefixes.append(sys.base_prefix)
folders = [folder for folder in site.getsitepackages(prefixes) if os.path.isdir(folder)]
there = {(d.metadata["Name"] or ""): d.version for d in reversed(list(distributions(path=folders)))}
print(json.dumps({
    "version": sys.version_info[:2],
    "implementation": sys.implementation.name,
    "machine": platform.machine(),
    "libc": platform.libc_ver(),
    "executable": sys.executable,
    "venv": os.path.dirname(config) if found else "",
    "home": found.get("home", ""),
    "base": sys.base_prefix,
    "packages": there,
}))
"""


class Interpreter(BaseModel):
    """What a Python says of itself. ``venv`` is the folder of its virtual environment, if it is of
    one, ``home`` the folder of the Python that this was made with, as it stands there."""

    version: tuple[int, int]
    implementation: str
    machine: str
    libc: tuple[str, str]
    executable: str
    venv: str
    home: str
    base: str
    packages: dict[str, str]

    @property
    def named(self) -> str:
        """Its version, as ``3.12``."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def exact(self) -> tuple[str, ...]:
        """Its packages in their versions, as requirements; those that cannot be written so are
        left out: nothing can ask for them."""
        from packaging.requirements import InvalidRequirement, Requirement

        found = []
        for name, version in self.packages.items():
            try:
                found.append(str(Requirement(f"{name}=={version}")))
            except InvalidRequirement:
                continue
        return tuple(sorted(found))

    def folders(self) -> tuple[Path, ...]:
        """Where its files are. Exact folders, never a whole prefix: that may be a user's home."""
        prefixes = {self.base, os.path.realpath(self.base), *self._links()}
        if self.home:
            prefixes.add(str(Path(self.home).parent))
        found = [Path(prefix, name) for prefix in prefixes for name in ("bin", "lib", "lib64")]
        found += [Path(self.venv)] if self.venv else []
        return tuple(sorted(f for f in found if f.is_dir() and not _is_system(f)))

    def _links(self) -> list[str]:
        """The prefixes on the way from its path to its file."""
        path, found = self.executable, []
        for _ in range(40):
            found.append(str(Path(path).parent.parent))
            if not os.path.islink(path):
                break
            path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        return [prefix for prefix in found if prefix != self.venv]


async def look_at(python: str) -> Interpreter:
    """The Python at the path ``python``.

    Raises:
        HostStartError: it is none, cannot be run, or is too old.
    """
    path = _absolute(python)
    try:
        process = await asyncio.create_subprocess_exec(
            *(path, "-I", "-S", "-c", ASKED),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MOST_SAID,
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        )
    except OSError as error:
        raise HostStartError(
            f"python = {python!r}: {error.strerror}; name the interpreter itself, such as "
            "/path/to/venv/bin/python"
        ) from error
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        raise HostStartError(
            f"python = {python!r} does not answer: it is no Python that works"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return understood(out, err, f"python = {python!r}")


def understood(out: bytes, err: bytes, what: str) -> Interpreter:
    """What ``ASKED`` has printed.

    Raises:
        HostStartError: it is nothing that a host can run with; ``what`` says which it is of.
    """
    try:
        found = Interpreter.model_validate(json.loads(out))
    except (ValueError, ValidationError) as error:
        said = err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise HostStartError(f"{what} is no Python that works: {said[0][:300]}") from error
    if found.version < OLDEST:
        raise HostStartError(
            f"{what} is Python {found.named}; agents need {OLDEST[0]}.{OLDEST[1]} or newer"
        )
    if found.implementation != sys.implementation.name:
        raise HostStartError(
            f"{what} is {found.implementation}; agents need {sys.implementation.name}"
        )
    return found


def _absolute(python: str) -> str:
    if "/" not in python and (found := shutil.which(python)):
        return found
    # links stay: a virtual environment is told by the link that its Python is
    return os.path.abspath(os.path.expanduser(python))


def _is_system(folder: Path) -> bool:
    return folder == Path("/") or folder.is_relative_to("/usr")
