"""gVisor's ``runsc``: where it is, whether it is new enough, and how it is told what to run."""

from __future__ import annotations

import json
import re
import resource
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from codin.errors import InvalidInputError
from codin.sandbox.base import WORKSPACE, Limits, Mount
from codin.sandbox.errors import SandboxUnavailable

MINIMUM = date(2024, 1, 1)
"""Releases before it hang or take the whole sandbox with them when memory runs out."""
HOW_TO_GET_IT = (
    "isolation 'gvisor' needs runsc of {minimum} or later: https://gvisor.dev/docs/user_guide/"
    "install (Debian's own package is of 2022)"
)
PLACE = "/gvisor"
"""Where its own files are, in the namespaces around it; code inside sees an empty folder there."""
ITS_DESCRIPTORS = range(256, 259)
"""Where its sandbox puts the standard streams: it does not start where one of these is taken."""
# It hands no signals on to what it runs: a second one sends them, while the first is waited for.
_SIGNALS = " ".join(str(number) for number in range(1, 32) if number not in {9, 17, 19})
# A shell gives what it leaves running an empty input, so that it is handed over as SPARE.
_RUN = (
    'kill=$1; shift; exec SPARE<&0; "$@" <&SPARE SPARE<&- & '
    f'for n in {_SIGNALS}; do trap "$kill $n" $n; done; '
    "while :; do wait $!; code=$?; kill -0 $! 2>/dev/null || exit $code; done"
)
_OVERLAY_SINCE = date(2022, 12, 1)
_PTRACE_UNTIL = date(2023, 9, 1)
_DATE = re.compile(r"(20\d\d)(\d\d)(\d\d)")


@dataclass(frozen=True, slots=True)
class Runsc:
    """A runsc that is here, and the day of its release."""

    path: Path
    released: date

    def command(self, note: str) -> list[str]:
        """The command line that runs the bundle at ``PLACE``; why it could not goes to ``note``."""
        overlay = ["--overlay2=none"] if self.released >= _OVERLAY_SINCE else []
        platform = ["--platform=ptrace"] if self.released < _PTRACE_UNTIL else []
        state, spare = f"--root={PLACE}/state", "4" if note.endswith("/3") else "3"
        signal = f"{shlex.quote(str(self.path))} {state} --rootless kill box"
        return [
            *("/bin/sh", "-c", _RUN.replace("SPARE", spare), "codin", signal),
            *(str(self.path), state, f"--log={note}", "--log-format=json"),
            *("--rootless", "--network=none", "--ignore-cgroups", *overlay, *platform),
            *("run", f"--bundle={PLACE}", "box"),
        ]


def find(minimum: date = MINIMUM) -> Runsc:
    """The runsc on the path.

    Raises:
        SandboxUnavailable: there is none, or it is older than ``minimum``, or of no known day.
    """
    how = HOW_TO_GET_IT.format(minimum=minimum.isoformat())
    found = shutil.which("runsc")
    if found is None:
        raise SandboxUnavailable(f"runsc is not here; {how}")
    try:
        said = subprocess.run([found, "--version"], capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxUnavailable(f"{found} does not work: {error}; {how}") from error
    version = said.stdout.decode(errors="replace").partition("\n")[0].strip()
    day = _DATE.search(version)
    if day is None:
        raise SandboxUnavailable(f"{found} does not tell its day: {version[:100]!r}; {how}")
    released = date(*map(int, day.groups()))
    if released < minimum:
        raise SandboxUnavailable(f"{found} is of {released.isoformat()}, which is too old; {how}")
    return Runsc(Path(found), released)


def reason(log: bytes) -> str:
    """What the first line of its log says, of as much of it as was read."""
    try:
        line, _ = json.JSONDecoder().raw_decode(log.decode(errors="replace"))
        return str(line["msg"])
    except (ValueError, KeyError, TypeError):
        return "it does not say why"


def bundle(
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    limits: Limits,
    mounts: Sequence[Mount],
) -> bytes:
    """The ``config.json`` (of the OCI's runtime specification) of one command.

    Its root is what the namespaces around it show, read-only. It is user 0 of its own kernel,
    because nobody else is known there, and has no right of that user.

    Raises:
        InvalidInputError: something in it is no text.
    """
    writable = [WORKSPACE, "/tmp", *(mount.target for mount in mounts if mount.writable)]  # noqa: S108
    config = {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(argv),
            "env": [f"{name}={value}" for name, value in env.items()],
            "cwd": cwd,
            "noNewPrivileges": True,
            "capabilities": {},
            "rlimits": _rlimits(limits),
        },
        "root": {"path": "/", "readonly": True},
        "hostname": "sandbox",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["ro"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": PLACE, "type": "tmpfs", "source": "tmpfs", "options": ["ro"]},
            *(_bind(path) for path in writable),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]
        },
    }
    try:
        return json.dumps(config, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "isolation 'gvisor' takes text only in commands and their environment: these have "
            f"bytes that are none ({error.object[error.start : error.end]!r})"
        ) from error


def _bind(path: str) -> dict[str, Any]:
    return {"destination": path, "type": "bind", "source": path, "options": ["rw", "rbind"]}


def _rlimits(limits: Limits) -> list[dict[str, Any]]:
    kept = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": _open_files()}
    if limits.disk_bytes is not None:
        kept["RLIMIT_FSIZE"] = int(limits.disk_bytes)
    return [{"type": name, "soft": most, "hard": most} for name, most in kept.items()]


def _open_files() -> int:
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)
