"""What a sandbox on this machine sees: the arguments of bubblewrap that show it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

import codin
from codin.sandbox.base import MIB, PACKAGES, WORKSPACE, Mount
from codin.sandbox.errors import PermissionDenied

UID = 1000
"""Whoever runs the platform, code inside is this user."""

_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "fonts")
MADE = {
    "passwd": f"sandbox:x:{UID}:{UID}:sandbox:/tmp:/bin/sh\n",
    "group": f"sandbox:x:{UID}:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_RESERVED = (
    *("/usr", "/etc", "/proc", "/dev", "/sys", "/tmp", PACKAGES),  # noqa: S108
    *(f"/{name}" for name in _LINKS),
)
KERNEL_FOLDERS = ("/proc", "/dev", "/sys")
"""What the kernel shows inside, and is no file of any folder of this machine."""
_DEFAULT_TMP = 512 * MIB
BASE_PATH = ":".join(
    dict.fromkeys(
        (f"{sys.prefix}/bin", f"{sys.base_prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin")
    )
)


@cache
def python_folders() -> tuple[Path, ...]:
    """The folders that the running Python, its packages and codin are read from.

    Exact folders, never a whole prefix: a prefix may be a user's home.
    """
    found: list[Path] = []
    for prefix in (sys.base_prefix, os.path.realpath(sys.base_prefix), _home_of_venv()):
        if prefix and not _is_system(Path(prefix)):
            found += [Path(prefix, name) for name in ("bin", "lib", "lib64")]
    if sys.prefix != sys.base_prefix:
        found.append(Path(sys.prefix))
    found.append(Path(codin.__file__).parent)
    kept: list[Path] = []
    for folder in sorted({folder for folder in found if folder.exists()}):
        if not _is_system(folder) and not any(folder.is_relative_to(above) for above in kept):
            kept.append(folder)
    return tuple(kept)


def base_env(env: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of what runs inside: a minimal one, and what was given."""
    return {
        "PATH": BASE_PATH,
        "HOME": "/tmp",  # noqa: S108 - inside, where it is the sandbox's own
        "TMPDIR": "/tmp",  # noqa: S108
        "USER": "sandbox",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",  # noqa: S108
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **env,
    }


def write_etc(folder: Path) -> None:
    """Make the few files of ``/etc`` that programs cannot do without, and copy those that are this
    machine's: together they are one mount, and each mount makes a start longer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in MADE.items():
        (folder / name).write_text(text)
    for name in _ETC:
        with contextlib.suppress(OSError, shutil.Error):  # not there, or not this user's to read
            _copy(Path("/etc", name), folder / name)


def view(
    *,
    etc: Path,
    workspace: Path,
    mounts: tuple[Mount, ...],
    disk: int | None,
    keep_proc: bool = True,
) -> list[str]:
    """Arguments for the file system: read-only but for the workspace, ``/tmp`` and ``/dev/shm``.

    ``keep_proc=False`` leaves ``/proc`` writable: for what shows code inside another one.
    """
    size = str(disk or _DEFAULT_TMP)
    args = [*_usr(), "--ro-bind", str(etc), "/etc", *_kernel(size, keep_proc=keep_proc)]
    args += ["--perms", "1777", "--size", size, "--tmpfs", "/tmp"]  # noqa: S108
    return [*args, *_shown(workspace, mounts), "--remount-ro", "/"]


def machine_view(
    root: Path, *, etc: Path, workspace: Path, mounts: tuple[Mount, ...], disk: int | None
) -> list[str]:
    """Arguments for a file system of which ``root`` is all that is not the system's."""
    args = ["--bind", str(root), "/", *_usr()]
    for name in _ETC:
        args += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in MADE:
        args += ["--ro-bind", str(etc / name), f"/etc/{name}"]
    return [*args, *_kernel(str(disk or _DEFAULT_TMP)), *_shown(workspace, mounts)]


def machine_mounts(etc: Path) -> list[Mount]:
    """What ``machine_view`` shows of the system, as mounts to read by their paths inside."""
    shown = [Mount(Path("/usr"), "/usr")]
    shown += [Mount(Path("/", name), f"/{name}") for name in _LINKS if _is_folder(Path("/", name))]
    shown += [
        Mount(Path("/etc", name), f"/etc/{name}") for name in _ETC if Path("/etc", name).exists()
    ]
    shown += [Mount(etc / name, f"/etc/{name}") for name in MADE]
    return shown + [Mount(folder, str(folder)) for folder in python_folders()]


def _usr() -> list[str]:
    """The system's programs, read-only."""
    args = ["--ro-bind", "/usr", "/usr"]
    for name in _LINKS:
        system = Path("/", name)
        if system.is_symlink():
            args += ["--symlink", os.readlink(system), str(system)]
        elif system.is_dir():
            args += ["--ro-bind", str(system), str(system)]
    return args


def _kernel(size: str, *, keep_proc: bool = True) -> list[str]:
    """What the kernel shows.

    ``/proc`` is read-only too: run by root, code inside is root to files that root owns, and
    ``/proc/sys`` is such files.
    """
    args = ["--proc", "/proc", *(["--remount-ro", "/proc"] if keep_proc else [])]
    args += ["--dev", "/dev"]
    return [*args, "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copyfile(source, target)


def _shown(workspace: Path, mounts: tuple[Mount, ...]) -> list[str]:
    args = []
    for folder in python_folders():
        args += ["--ro-bind", str(folder), str(folder)]
    args += ["--bind", str(workspace), WORKSPACE]
    for mount in mounts:
        args += ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]
    return args


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def check_mount(mount: Mount) -> None:
    """Refuse a mount that is not there, or that would hide what the sandbox is made of.

    Raises:
        PermissionDenied
    """
    target = PurePosixPath(mount.target)
    if not target.is_absolute() or ".." in target.parts or len(target.parts) < 2:
        raise PermissionDenied(f"a mount goes to an absolute path below /, not {mount.target!r}")
    if str(target) == WORKSPACE or any(target.is_relative_to(name) for name in _RESERVED):
        raise PermissionDenied(f"a mount may not go to {mount.target!r}: the sandbox needs it")
    if not mount.source.exists():
        raise PermissionDenied(f"there is nothing to mount at {mount.source}")


def _home_of_venv() -> str | None:
    """The prefix of the Python that made the running virtual environment, as it was written."""
    try:
        lines = Path(sys.prefix, "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return None
    homes = [line.partition("=")[2].strip() for line in lines if line.startswith("home")]
    return str(Path(homes[0]).parent) if homes else None


def _is_system(folder: Path) -> bool:
    return folder == Path("/") or folder.is_relative_to("/usr")
