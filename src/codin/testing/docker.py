"""Container engines for tests: daemons of their own, on sockets of their own, removed after."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class NoEngine(RuntimeError):
    """No daemon can be started here; the message says why."""


@contextmanager
def docker_engine() -> Iterator[str]:
    """Start a Docker daemon without network bridges; gives its address.

    Raises:
        NoEngine
    """
    with _folder("docker") as folder:
        command = [
            *(
                _program("dockerd"),
                "--host",
                f"unix://{folder}/s",
                "--pidfile",
                str(folder / "pid"),
            ),
            *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
            *("--bridge", "none", "--iptables=false"),
        ]
        with _running(command, folder):
            yield f"unix://{folder}/s"


@contextmanager
def podman_engine() -> Iterator[str]:
    """Start Podman's service, which speaks Docker's API; gives its address.

    Raises:
        NoEngine
    """
    with _folder("podman") as folder:
        command = [
            *(_program("podman"), "--root", str(folder / "root")),
            *("--runroot", str(folder / "run"), "--tmpdir", str(folder / "tmp")),
            # crun refuses machines on which both versions of control groups are mounted
            *("--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file"),
            *("system", "service", "--time", "0", f"unix://{folder}/s"),
        ]
        with _running(command, folder):
            yield f"unix://{folder}/s"


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoEngine(f"there is no {name} here: `make system` installs it")
    if os.geteuid() != 0:
        raise NoEngine(f"a {name} of the tests' own needs root")
    return found


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"codin-{name}-"))
    try:
        yield folder
    finally:
        for mount in _mounts_below(folder):
            subprocess.run(["umount", "-l", mount], check=False)  # noqa: S607
        shutil.rmtree(folder, ignore_errors=True)


def _mounts_below(folder: Path) -> list[str]:
    """What engines leave mounted, the innermost first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    found = [line.split()[1] for line in lines]
    return sorted((mount for mount in found if mount.startswith(f"{folder}/")), reverse=True)


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        # However the tests end, it ends too: a session that is killed stops nothing itself.
        command = ["setpriv", "--pdeathsig", "TERM", *command]
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _until_ready(daemon, folder)
        yield
    finally:
        _stop(daemon)


def _until_ready(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(folder / "s"):
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = (folder / "log").read_text(errors="replace").strip().splitlines()[-3:]
            raise NoEngine("the engine did not start: " + " / ".join(last))
        time.sleep(0.05)


def _answers(path: Path) -> bool:
    import httpx

    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            return client.get("http://engine/_ping").status_code == 200
    except httpx.TransportError:
        return False


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    """End the daemon; what it started (containerd) ends with it."""
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
