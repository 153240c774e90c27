"""The embedded model's process, seen from the platform: started on demand, restarted when dead."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from codin.model.embedded import weights
from codin.model.errors import ModelUnavailable
from codin.private_folder import private_folder

_START_SECONDS = 120.0
_STOP_SECONDS = 3.0
_DYING_SECONDS = 1.0
_QUICK_DEATH_SECONDS = 20.0
_MAX_QUICK_DEATHS = 3


def default_threads() -> int:
    """The processors that this process may use, or ``CODIN_MODEL_THREADS``."""
    if wanted := os.environ.get("CODIN_MODEL_THREADS"):
        with contextlib.suppress(ValueError):
            return max(1, int(wanted))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, _physical_cores() or 64))


def _physical_cores() -> int:
    """Distinct cores, because two threads on one core only wait for each other."""
    cores = set()
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        with contextlib.suppress(OSError):
            cores.add(path.read_text().strip())
    return len(cores)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the model runs: conversations kept warm, tokens of each, and threads.

    Memory is about 1.3 GB and 28 KiB for each token of context, and `cache_mib` for prompts that
    had to make room.
    """

    slots: int = 4
    context: int = 6144
    threads: int = field(default_factory=default_threads)
    cache_mib: int = 768


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model answers: a Unix socket, and the key that opens it."""

    socket: str
    key: str = field(repr=False)


def engine_installed() -> bool:
    """Whether the engine (extra ``local``) is there."""
    return importlib.util.find_spec("xllamacpp") is not None


class EmbeddedServer:
    """One child process that holds the model.

    `ready` starts it when it is not running and is cheap when it is. The process ends with
    `aclose`, and with this process however that ends.
    """

    def __init__(self, model: Path | None = None, settings: ServerSettings | None = None) -> None:
        self._model = model
        self.settings = settings or ServerSettings()
        self._process: asyncio.subprocess.Process | None = None
        self._endpoint: Endpoint | None = None
        self._loaded = False
        self._starting = asyncio.Lock()
        self._log: deque[str] = deque(maxlen=40)
        self._reader: asyncio.Task[None] | None = None
        self._started_at = 0.0
        self._quick_deaths = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id while the model runs."""
        return self._process.pid if self._running and self._process else None

    @property
    def _running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def ready(self) -> Endpoint:
        """Where the model answers, once it is loaded.

        Raises:
            ModelUnavailable: engine or weights are missing, or the process does not come up.
        """
        if self._loaded and self._endpoint is not None and self._running:
            return self._endpoint
        async with self._starting:
            if self._loaded and self._endpoint is not None and self._running:
                return self._endpoint
            if self._closed:
                raise ModelUnavailable("the embedded model has been closed; open a new one")
            self._count_death()
            await self._discard()
            try:
                return await self._start()
            except BaseException:
                await self._discard()
                raise

    async def lost(self) -> None:
        """Look whether the process died, after a connection broke, and take note if it did."""
        if self._process is None:
            return
        # A process that dies closes its connections a moment before it can be waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DYING_SECONDS):
                await self._process.wait()

    async def aclose(self) -> None:
        """End the process. Idempotent."""
        self._closed = True
        await self._discard()

    def _count_death(self) -> None:
        if self._process is None:
            return
        quick = time.monotonic() - self._started_at < _QUICK_DEATH_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        if self._quick_deaths >= _MAX_QUICK_DEATHS:
            raise ModelUnavailable(
                f"the embedded model died {self._quick_deaths} times in a row soon after it was"
                f" started; it needs about 2.2 GB of memory. Its last words: {self._last_words()}"
            )

    async def _start(self) -> Endpoint:
        model = self._model or weights.installed()
        if model is None or not model.is_file():
            raise ModelUnavailable(
                "the embedded model is not on this machine yet: run `codin model pull`"
            )
        if not engine_installed():
            raise ModelUnavailable(
                "the engine of the embedded model is not installed: pip install 'codin[local]'"
            )
        folder = str(await asyncio.to_thread(private_folder, "model"))
        endpoint = Endpoint(os.path.join(folder, "m.sock"), secrets.token_urlsafe(24))
        self._started_at = time.monotonic()
        self._endpoint = endpoint
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "codin.model.embedded._serve"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A terminal's Ctrl-C is for the platform, which then ends this process in good order.
            start_new_session=True,
            env=_environment(),
        )
        self._reader = asyncio.create_task(self._keep_log(self._process))
        await self._handshake(self._process, endpoint, model)
        self._loaded = True
        return endpoint

    async def _handshake(
        self, process: asyncio.subprocess.Process, endpoint: Endpoint, model: Path
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        settings = {
            "parent": os.getpid(),
            "model": str(model),
            "socket": endpoint.socket,
            "key": endpoint.key,
            "slots": self.settings.slots,
            "context": self.settings.context,
            "threads": self.settings.threads,
            "cache_mib": self.settings.cache_mib,
        }
        line = b""
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            await process.stdin.drain()
            try:
                async with asyncio.timeout(_START_SECONDS):
                    line = await process.stdout.readline()
            except TimeoutError:
                raise ModelUnavailable(
                    f"the embedded model was not loaded within {_START_SECONDS:.0f} s:"
                    f" {self._last_words()}"
                ) from None
        answer = json.loads(line) if line.startswith(b"{") else {}
        if not answer.get("ready"):
            await asyncio.sleep(0.05)
            reason = answer.get("error") or self._last_words()
            raise ModelUnavailable(f"the embedded model did not start: {reason}")

    async def _keep_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self._log.append(line.decode(errors="replace").rstrip())

    def _last_words(self) -> str:
        return " | ".join(list(self._log)[-3:]) or "nothing was said"

    async def _discard(self) -> None:
        self._loaded = False
        process, self._process = self._process, None
        endpoint, self._endpoint = self._endpoint, None
        if process is not None:
            await _end(process)
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None
        if endpoint is not None:
            shutil.rmtree(os.path.dirname(endpoint.socket), ignore_errors=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """Only what an interpreter needs: no provider key reaches the child."""
    names = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    # Spinning threads would take the processor from the tools that run between two turns.
    return kept | {"OMP_WAIT_POLICY": "passive"}
