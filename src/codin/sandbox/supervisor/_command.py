"""From a fork to the command that was asked for, or to a Worker."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import stat
import sys

from . import messages
from ._processes import PR_SET_DUMPABLE, prctl, set_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

_CANNOT = 127


def become(job: Mapping[str, Any], fds: list[int], status: socket.socket) -> NoReturn:
    """Go on as the command, or as a Worker."""
    note = b"failed"
    try:
        os.setsid()
        for number, fd in enumerate(fds[messages.STDIN : messages.CONNECTION]):
            os.dup2(fd, number, inheritable=True)
        set_signals(signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _limit(job["rlimits"])
        try:
            os.chdir(job["cwd"])
        except OSError:
            note = b"nowhere"
            raise
        if job["worker"]:
            _work(job, fds[messages.CONNECTION])
        note = _why_not(job["argv"][0], job["env"])
        _execute(job["argv"], job["env"], status.fileno())
    except OSError as error:
        said = note if note != b"failed" else b"failed " + str(error).encode()
        status.send(messages.NOTE + said)
    finally:
        os._exit(_CANNOT)


def _execute(argv: list[str], env: dict[str, str], status: int) -> None:
    os.closerange(3, status)
    os.closerange(status + 1, os.sysconf("SC_OPEN_MAX") if status > 4096 else 4096)
    path = argv[0] if "/" in argv[0] else _find(argv[0], env)
    try:
        os.execve(path, argv, env)  # noqa: S606 - a shell is what this is not
    except OSError as error:
        if error.errno != 8:  # ENOEXEC: a script without its first line is the shell's
            raise
        os.execve("/bin/sh", ["sh", path, *argv[1:]], env)  # noqa: S606


def _find(name: str, env: Mapping[str, str]) -> str:
    for folder in env.get("PATH", "").split(":"):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and stat.S_ISREG(os.stat(path).st_mode):
            return path
    raise FileNotFoundError(name)


def _why_not(name: str, env: Mapping[str, str]) -> bytes:
    """What to say when a program of that name cannot be started."""
    if "/" in name:
        return b"denied" if os.path.lexists(name) else b"missing"
    try:
        _find(name, env)
    except OSError:
        return b"missing"
    return b"denied"


def _work(job: Mapping[str, Any], connection: int) -> NoReturn:
    """Serve as a Worker: a fork has all that it needs, and starts at once."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(job["env"])
        socket.socket(fileno=os.dup2(connection, 3)).detach()
        os.closerange(4, 4096)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        sys.argv[:] = [""]
        gc.unfreeze()
        importlib.import_module("_codin_worker._main").main(3, job["most"])
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: S112 - code may have closed or replaced it
                continue
        os._exit(code)


def _limit(rlimits: Mapping[str, int]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in rlimits.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (most, most))
    try:  # the kernel, out of memory, takes what the code started before it takes this program
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        return
