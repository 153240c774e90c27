"""The program inside: starts commands and Workers for the platform, and ends them whole.

It is the init of its process namespace where it can be, so that nothing inside can signal it, and
closed to tracing. Each command has a *keeper*, a fork of this program that every process which
the command leaves behind falls to; the keeper kills them all at the end. Whoever kills a keeper
leaves its processes to this program, which kills what it did not start itself.
It is loaded by path, and needs the standard library and msgpack only.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import mmap
import os
import select
import signal
import socket
import stat
import sys

import msgpack

from . import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36
_STRAY_SECONDS = 0.2
_CANNOT = 127
_UNTOUCHABLE = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def main(control: socket.socket) -> None:
    """Serve the platform at the other end of ``control`` until it goes."""
    _protect()
    _set_signals(signal.SIG_IGN)
    Supervisor(control).serve()


class Supervisor:
    """Takes requests, one packet each, and buries what has ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._keepers: set[int] = set()
        self._strays = False

    def serve(self) -> None:
        """Until the platform closes the connection; then everything inside is killed."""
        for name in ("_codin_worker._main", "_codin_worker._python"):
            importlib.import_module(name)  # so that a fork has it already
        gc.freeze()
        wake = _wake_on_children()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        self._control.send(messages.VERSION)
        while True:
            ready = poll.poll(_STRAY_SECONDS * 1000 if self._strays else None)
            self._bury(wake)
            if any(fd == self._control.fileno() for fd, _ in ready) and not self._take():
                break
        kill_all_below(os.getpid())

    def _take(self) -> bool:
        """One request; false when there is nobody to ask any more."""
        data, fds = _receive(self._control)
        if not data:
            return False
        try:
            if data == messages.START:
                self._start(fds)
            elif data in (messages.CONNECT, messages.LISTEN):
                _give_socket(data, fds)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _start(self, fds: list[int]) -> None:
        try:
            keeper = os.fork()
        except OSError as error:
            status = socket.socket(fileno=os.dup(fds[1]))
            with status:
                status.send(messages.NOTE + b"fork " + str(error).encode())
            return
        if keeper == 0:
            self._control.close()
            _keep(fds)
        self._keepers.add(keeper)

    def _bury(self, wake: int) -> None:
        _drain(wake)
        for pid, code in _ended(frozenset(self._keepers)):
            if pid in self._keepers:
                self._keepers.discard(pid)
                self._strays = self._strays or code != 0
        if self._strays:
            here = os.getpid()
            left = [pid for pid, parent in _parents().items() if parent == here]
            strays = [pid for pid in left if pid not in self._keepers]
            for stray in strays:
                kill_all_below(stray, itself=True)
            self._strays = bool(strays)


def _keep(fds: list[int]) -> NoReturn:
    """Start one command, wait for its end, and leave nothing of it. Does not return."""
    code = 1
    try:
        status = socket.socket(fileno=fds[1])
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake = _wake_on_children()
        status.send(messages.HERE)
        command = os.fork()
        if command == 0:
            _become(_data(fds[0]), fds, status)
        for fd in (fds[0], *fds[messages.STDIN :]):
            os.close(fd)
        ended = _follow(command, status, wake)
        kill_all_below(os.getpid())
        for _ in _ended(wait=True):
            pass
        if ended is not None:
            status.send(messages.EXIT + f"{ended} {_used()}".encode())
        code = 0
    except OSError:
        kill_all_below(os.getpid())
    finally:
        os._exit(code)


def _follow(command: int, status: socket.socket, wake: int) -> int | None:
    """Until the end of the command: its exit code, or ``None`` when the platform let it go."""
    poll = select.poll()
    poll.register(status, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        _drain(wake)
        for pid, code in _ended():
            if pid == command:
                return code
        if status.fileno() in ready:
            said = status.recv(messages.MAX_PACKET)
            if not said:
                return None
            if said.startswith(messages.SIGNAL):
                os.kill(command, int(said[len(messages.SIGNAL) :]))


def _become(job: Mapping[str, Any], fds: list[int], status: socket.socket) -> NoReturn:
    """Go on as the command, or as a Worker."""
    note = b"failed"
    try:
        os.setsid()
        for number, fd in enumerate(fds[messages.STDIN : messages.CONNECTION]):
            os.dup2(fd, number, inheritable=True)
        _set_signals(signal.SIG_DFL)
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
        _prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
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


def kill_all_below(pid: int, *, itself: bool = False) -> None:
    """Kill everything that ``pid`` started: stopped first, so that none of it can start more."""
    stopped: set[int] = set()
    while found := _below(pid, itself=itself) - stopped:
        for one in found:
            _send_signal(one, signal.SIGSTOP)
        stopped |= found
    for one in stopped:
        _send_signal(one, signal.SIGKILL)


def _below(pid: int, *, itself: bool) -> set[int]:
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found: set[int] = {pid} if itself else set()
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def _parents() -> dict[int, int]:
    """Each living process that can be seen, and its parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state not in (b"Z", b"X"):
                found[int(name)] = int(parent)
    return found


def _set_signals(action: signal.Handlers) -> None:
    """For every signal that is not the kernel's own: what code inside sends shall not end this."""
    for number in signal.valid_signals() - _UNTOUCHABLE:
        signal.signal(number, action)


def _send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _ended(keepers: frozenset[int] = frozenset(), *, wait: bool = False) -> list[tuple[int, int]]:
    """Children that have ended, with their exit codes (negative: the signal).

    A keeper that code inside has stopped goes on: it has to see the end of its command.
    """
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, 0 if wait else os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if not os.WIFSTOPPED(status):
            found.append((pid, os.waitstatus_to_exitcode(status)))
        elif pid in keepers:
            _send_signal(pid, signal.SIGCONT)


def _give_socket(kind: bytes, fds: list[int]) -> None:
    """A socket of this network namespace: connected to a port, or listening at one."""
    port = _data(fds[0])["port"]
    with socket.socket(fileno=os.dup(fds[1])) as reply:
        try:
            made = _connected(port) if kind == messages.CONNECT else _listening(port)
        except OSError as error:
            reply.send(messages.REFUSED + str(error.strerror or error).encode())
            return
        with made:
            rights = array.array("i", [made.fileno()])
            reply.sendmsg([messages.OK], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def _connected(port: int) -> socket.socket:
    refused: OSError | None = None
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        except OSError:
            continue  # a kernel without that family
        made.setblocking(False)
        try:
            made.connect((host, port))
        except BlockingIOError:
            return made
        except OSError as error:
            made.close()
            refused = refused or error
        else:
            return made
    raise refused or ConnectionRefusedError("connection refused")


def _listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(256)
    return made


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    rights = array.array("i")
    space = socket.CMSG_SPACE(messages.MAX_FDS * rights.itemsize)
    data, beside, _, _ = control.recvmsg(messages.MAX_PACKET, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, value in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            rights.frombytes(value[: len(value) - len(value) % rights.itemsize])
    return data, list(rights)


def _data(fd: int) -> dict[str, Any]:
    with mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ) as data:
        found: dict[str, Any] = msgpack.unpackb(
            data[:], strict_map_key=False, unicode_errors="surrogateescape"
        )
    return found


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


def _used() -> str:
    """Processor seconds and peak memory (bytes) of what has ended."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return f"{used.ru_utime + used.ru_stime:.6f} {used.ru_maxrss * 1024}"


def _protect() -> None:
    """Nobody inside may trace this program or read its memory and descriptors."""
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if os.getpid() != 1:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wake_on_children() -> int:
    """A descriptor that can be read when a child has ended."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def _drain(wake: int) -> None:
    try:
        while os.read(wake, 4096):
            pass
    except BlockingIOError:
        return
