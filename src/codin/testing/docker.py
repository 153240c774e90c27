"""A container engine for tests: a daemon of its own, on a socket of its own, removed at the end."""

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
    program = shutil.which("dockerd")
    if program is None:
        raise NoEngine("there is no dockerd here: `make system` installs it")
    if os.geteuid() != 0:
        raise NoEngine("a Docker daemon of the tests' own needs root")
    folder = Path(tempfile.mkdtemp(prefix="codin-docker-"))
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                *(program, "--host", f"unix://{folder}/s", "--pidfile", str(folder / "pid")),
                *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                *("--bridge", "none", "--iptables=false"),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _until_ready(daemon, folder)
        yield f"unix://{folder}/s"
    finally:
        _stop(daemon)
        shutil.rmtree(folder, ignore_errors=True)


def _until_ready(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while b"API listen on" not in (log := (folder / "log").read_bytes()):
        if daemon.poll() is not None or time.monotonic() > deadline:
            last = log.decode(errors="replace").strip().splitlines()[-3:]
            raise NoEngine("the Docker daemon did not start: " + " / ".join(last))
        time.sleep(0.05)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    """End the daemon; what it started (containerd) ends with it."""
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
