"""One agent host as the platform sees it: a process that may die and be started again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import ValidationError

from codin.agent.host.unix import unix_http
from codin.agent.host.wire import (
    HOST_URL,
    MAX_LISTING,
    SERVICE_SOCKET,
    HostCrashLoop,
    HostDied,
    HostListing,
    HostRuns,
    HostStartError,
)
from codin.private_folder import private_folder
from codin.runtime.base import Deployment, RuntimeFailure
from codin.sandbox.base import Mount
from codin.sandbox.errors import SandboxError
from codin.sandbox.network.refusal import Refusal

CRASHES = 3
CRASH_WINDOW_SECONDS = 60.0
LOG_LINES = 15
ANSWER_SECONDS = 5.0
_REAP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a host is started with, kept for starting it again.

    ``sources`` are files or folders of this machine, or ``module:attr``; a file may name one of
    its objects, ``path/to/file.py:attr``. ``network`` are the ``host:port`` that it may connect to,
    ``requirements`` packages of its own instead of the platform's.
    """

    name: str
    sources: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    network: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


Deploy = Callable[[HostSpec, str], Awaitable[Deployment]]
"""Starts the process of a host, whose run directory is the second argument."""


class HostProcess:
    """Keeps the process of one host running, within reason.

    Args:
        spec: what it is started with.
        deploy: starts the process.
        run_root: where its run directory is made; a temporary folder by default.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        spec: HostSpec,
        deploy: Deploy,
        *,
        run_root: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.listing = HostListing()
        self.starts = 0
        self._deploy = deploy
        self._run_root = run_root
        self._clock = clock
        self._run_dir: Path | None = None
        self._deployment: Deployment | None = None
        self._deaths: deque[float] = deque(maxlen=CRASHES)
        self._lock = asyncio.Lock()
        self._stopped = False
        self._last_words = ""

    async def ensure(self) -> Deployment:
        """The running process; it is started when there is none.

        Raises:
            HostStartError: it did not get ready; the message has its last lines.
            HostCrashLoop: it died `CRASHES` times in `CRASH_WINDOW_SECONDS`.
        """
        async with self._lock:
            if self._stopped:
                raise HostStartError(f"the agent host {self.spec.name!r} was stopped")
            if self._deployment is not None:
                if await self._deployment.health() != "stopped":
                    return self._deployment
                await self._bury(self._deployment)
            self._refuse_crash_loop()
            self._deployment = await self._start()
            return self._deployment

    async def is_gone(self, deployment: Deployment) -> bool:
        """Whether ``deployment`` has ended; waits a moment when it does not answer either."""
        deadline = self._clock() + _REAP_SECONDS
        while (health := await deployment.health()) != "stopped":
            if health == "healthy" or self._clock() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def death_of(self, deployment: Deployment) -> HostDied:
        """The error that says that ``deployment`` ended during a run."""
        return HostDied(
            f"the agent host {self.spec.name!r} ended in the middle of the run; it is started "
            f"again with the next task. {await last_lines(deployment)}"
        )

    async def end_unless_over(self, deployment: Deployment, task_id: str) -> None:
        """End ``deployment`` when a canceled run goes on in it, or when it does not answer."""
        try:
            async with host_http(deployment, timeout=ANSWER_SECONDS) as http:
                runs = HostRuns.model_validate_json((await http.get("/runs")).content)
            if task_id not in runs.tasks:
                return
        except (httpx.HTTPError, ValidationError):
            pass
        # No crash: it is not counted as one.
        if self._deployment is deployment:
            self._deployment = None
        await deployment.stop()

    async def logs(self) -> list[str]:
        """The lines that the runtime has kept of the current process."""
        if self._deployment is None:
            return []
        return [line async for line in self._deployment.logs()]

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Connections that were refused to the current process."""
        return () if self._deployment is None else self._deployment.refusals

    async def stop(self) -> None:
        """End the process and remove its run directory. Safe to call twice."""
        self._stopped = True
        async with self._lock:
            deployment, self._deployment = self._deployment, None
            if deployment is not None:
                await deployment.stop()
            if self._run_dir is not None:
                await asyncio.to_thread(shutil.rmtree, self._run_dir, ignore_errors=True)
                self._run_dir = None

    async def _start(self) -> Deployment:
        if self._run_dir is None:
            self._run_dir = await asyncio.to_thread(private_folder, "host", within=self._run_root)
        with contextlib.suppress(FileNotFoundError):
            # The file of the process before, if any: nobody listens there any more.
            (self._run_dir / SERVICE_SOCKET).unlink()
        self.starts += 1
        try:
            deployment = await self._deploy(self.spec, str(self._run_dir))
        except (RuntimeFailure, SandboxError) as error:
            self._deaths.append(self._clock())
            self._last_words = str(error)
            raise HostStartError(
                f"the agent host {self.spec.name!r} did not start: {error}"
            ) from error
        try:
            self.listing = await _listing(deployment)
        except BaseException:
            await deployment.stop()
            raise
        return deployment

    async def _bury(self, deployment: Deployment) -> None:
        self._deaths.append(self._clock())
        self._last_words = await last_lines(deployment)
        await deployment.stop()
        self._deployment = None

    def _refuse_crash_loop(self) -> None:
        recent = [at for at in self._deaths if self._clock() - at < CRASH_WINDOW_SECONDS]
        if len(recent) >= CRASHES:
            wait = CRASH_WINDOW_SECONDS - (self._clock() - recent[0])
            raise HostCrashLoop(
                f"the agent host {self.spec.name!r} died {len(recent)} times in "
                f"{CRASH_WINDOW_SECONDS:.0f} seconds; it is tried again in {wait:.0f} seconds, "
                f"mend its agents before. {self._last_words}"
            )


def host_http(deployment: Deployment, *, timeout: float | None = None) -> httpx.AsyncClient:
    """An HTTP client of the host that ``deployment`` runs."""
    return unix_http(deployment.endpoint, base_url=HOST_URL, timeout=timeout)


async def last_lines(deployment: Deployment) -> str:
    """What a process said last, as a sentence for an error message."""
    lines: deque[str] = deque(maxlen=LOG_LINES)
    async for line in deployment.logs():
        if line.strip():
            lines.append(line.rstrip()[:500])
    return "Its last lines: " + "\n".join(lines) if lines else "It said nothing."


async def _listing(deployment: Deployment) -> HostListing:
    try:
        async with (
            host_http(deployment, timeout=10.0) as http,
            http.stream("GET", "/agents") as answer,
        ):
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_LISTING:
                    raise HostStartError("the host's list of agents is too long to be read")
        return HostListing.model_validate_json(bytes(body))
    except (httpx.HTTPError, ValidationError) as error:
        raise HostStartError(f"the host's list of agents cannot be read: {error}") from error
