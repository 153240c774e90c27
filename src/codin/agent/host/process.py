"""One agent host as the platform sees it: a process that may die and be started again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import stat
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
from pydantic import ValidationError

from codin.agent.host.journal import Journal
from codin.agent.host.spec import HostSpec
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
from codin.ending import end
from codin.errors import CodinError
from codin.private_folder import private_folder
from codin.runtime.base import Deployment, RuntimeFailure
from codin.sandbox.errors import SandboxError
from codin.sandbox.network.refusal import Refusal
from codin.unix_socket import SharedTransport, unix_transport

CRASHES = 3
CRASH_WINDOW_SECONDS = 60.0
LOG_LINES = 15
ANSWER_SECONDS = 5.0
WATCH_SECONDS = 5.0
"""How often a host is looked at."""
SILENT_SECONDS = 60.0
"""How long a host may answer nothing at all before it is ended and started anew."""
_REAP_SECONDS = 2.0
_SHOWN = "run"

_log = logging.getLogger("codin.agent.host")


Deploy = Callable[[HostSpec, str], Awaitable[Deployment]]
"""Starts the process of a host, whose run directory is the second argument."""


HostStatus = Literal["starting", "ready", "silent", "failed", "stopped"]
"""``silent``: it does not answer at the moment, such as one whose agent blocks its loop."""


@dataclass(frozen=True, slots=True)
class HostState:
    """How a host is, why it is so where that needs a reason, and its socket on this machine."""

    status: HostStatus
    reason: str = ""
    address: str = ""


class HostProcess:
    """Keeps the process of one host running, within reason. ``door`` is the path of its socket.

    Args:
        spec: what it is started with.
        deploy: starts the process.
        run_root: where its run directory is made; a temporary folder by default.
        journal: keeps what it prints; without it, it is kept while it runs.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        spec: HostSpec,
        deploy: Deploy,
        *,
        run_root: Path | None = None,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.listing = HostListing()
        self.starts = 0
        self.door = ""
        self._transport: SharedTransport | None = None
        self._deploy = deploy
        self._run_root = run_root
        self._journal = journal
        self._watching: asyncio.Task[None] | None = None
        self._clock = clock
        self._run_dir: Path | None = None
        self._deployment: Deployment | None = None
        self._deaths: deque[float] = deque(maxlen=CRASHES)
        self._lock = asyncio.Lock()
        self._stopped = False
        self._last_words = ""
        self._why = ""
        self._resting = False

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
                if not self._deployment.ended:
                    return self._deployment
                await self._bury(self._deployment)
            self._refuse_crash_loop()
            self._deployment = await self._start()
            return self._deployment

    def watch(self) -> None:
        """Look after it from now on: one that died is started again, after waits that grow, and
        one that answers nothing for ``SILENT_SECONDS`` is ended first."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name=f"host {self.spec.name}")

    async def state(self) -> HostState:
        """How it is."""
        if self._stopped:
            return HostState("stopped")
        deployment = self._deployment
        if deployment is None:
            return self._absent()
        match await deployment.health():
            case "healthy":
                return HostState("ready", address=self.door)
            case "stopped":
                return HostState("failed", self._crash_loop() or await last_lines(deployment))
            case "starting":
                return HostState("starting")
            case _:
                why = "it does not answer: an agent of it blocks its loop, or is very busy"
                return HostState("silent", why, self.door)

    def _absent(self) -> HostState:
        """How it is without a process."""
        if self._lock.locked():
            return HostState("starting")
        if self._resting:
            return HostState("stopped", self._last_words)
        return HostState("failed", self._crash_loop() or self._last_words)

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
        if self._stopped:
            why = f": {self._why}" if self._why else ""
            return HostDied(
                f"the agent host {self.spec.name!r} was ended in the middle of the run{why}"
            )
        return HostDied(
            f"the agent host {self.spec.name!r} ended in the middle of the run; it is started "
            f"again with the next task. {await last_lines(deployment)}"
        )

    async def end_unless_over(self, deployment: Deployment, task_id: str) -> None:
        """End ``deployment`` when a canceled run goes on in it, or when it does not answer."""
        try:
            async with host_http(self.door, timeout=ANSWER_SECONDS) as http:
                runs = HostRuns.model_validate_json((await http.get("/runs")).content)
            if task_id not in runs.tasks:
                return
        except (httpx.HTTPError, ValidationError):
            pass
        # No crash: it is not counted as one.
        if self._deployment is deployment:
            self._deployment, self._resting = None, True
            self._last_words = (
                "it was ended with a run that was canceled and went on; the next task starts it"
            )
        await deployment.stop()

    async def logs(self) -> list[str]:
        """The lines that the runtime has kept of the current process."""
        if self._deployment is None:
            return []
        return [line async for line in self._deployment.logs()]

    @property
    def transport(self) -> SharedTransport:
        """What connects to the current process; it must have been started."""
        assert self._transport is not None
        return self._transport

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Connections that were refused to the current process."""
        return () if self._deployment is None else self._deployment.refusals

    async def stop(self, why: str = "") -> None:
        """End the process and remove its run directory. What runs on it fails, and says ``why``.
        Safe to call twice."""
        self._stopped = True
        self._why = self._why or why
        if self._watching is not None:
            await end(self._watching)
        async with self._lock:
            deployment, self._deployment = self._deployment, None
            if deployment is not None:
                await deployment.stop()
            if self._transport is not None:
                await self._transport.close()
            if self._run_dir is not None:
                await asyncio.to_thread(shutil.rmtree, self._run_dir, ignore_errors=True)
                self._run_dir = None
            if self._journal is not None:
                await self._journal.close()

    async def _watch(self) -> None:
        crashes, silent_since = 0, None
        while True:
            await asyncio.sleep(min(WATCH_SECONDS * 2**crashes, CRASH_WINDOW_SECONDS))
            deployment = self._deployment
            if deployment is None:
                continue  # never started, or ended on purpose: the next task starts it
            health = await deployment.health()
            if health == "unhealthy":
                silent_since = silent_since or self._clock()
                if self._clock() - silent_since >= SILENT_SECONDS:
                    await self._end_silent(deployment)
                continue
            silent_since = None
            if health != "stopped":
                crashes = 0
                continue
            crashes += 1
            try:
                await self.ensure()
            except (CodinError, OSError) as error:
                _log.warning("agent host %s is not started again: %s", self.spec.name, error)

    async def _end_silent(self, deployment: Deployment) -> None:
        """End a host that nothing comes from; what runs on it fails as when it dies."""
        self._last_words = f"it answered nothing for {SILENT_SECONDS:.0f} seconds and was ended"
        _log.warning("agent host %s: %s", self.spec.name, self._last_words)
        await deployment.stop()

    async def _start(self) -> Deployment:
        if self._run_dir is None:
            self._run_dir = await asyncio.to_thread(_run_folder, self._run_root)
        shown = self._run_dir / _SHOWN
        with contextlib.suppress(FileNotFoundError):
            # The file of the process before, if any: nobody listens there any more.
            (shown / SERVICE_SOCKET).unlink()
        self.starts += 1
        self._resting = False
        try:
            deployment = await self._deploy(self.spec, str(shown))
        except HostStartError as error:
            self._last_words = str(error)
            raise
        except (RuntimeFailure, SandboxError) as error:
            self._deaths.append(self._clock())
            self._last_words = str(error)
            raise HostStartError(
                f"the agent host {self.spec.name!r} did not start: {error}"
            ) from error
        try:
            self.door = await asyncio.to_thread(
                _take_door, deployment.endpoint, self._run_dir / f"{self.starts}.sock"
            )
            self.listing = await _listing(self.door)
            await self._connect()
        except BaseException:
            await deployment.stop()
            raise
        if self._journal is not None:
            self._journal.follow(deployment, [agent.id for agent in self.listing.agents])
        return deployment

    async def _connect(self) -> None:
        if self._transport is not None:
            await self._transport.close()
        self._transport = SharedTransport(unix_transport(self.door))

    async def _bury(self, deployment: Deployment) -> None:
        self._deaths.append(self._clock())
        self._last_words = await last_lines(deployment)
        await deployment.stop()
        self._deployment = None

    def _refuse_crash_loop(self) -> None:
        if told := self._crash_loop():
            raise HostCrashLoop(told)

    def _crash_loop(self) -> str:
        """What is to be said of it when it died too often; nothing otherwise."""
        recent = [at for at in self._deaths if self._clock() - at < CRASH_WINDOW_SECONDS]
        if len(recent) < CRASHES:
            return ""
        wait = CRASH_WINDOW_SECONDS - (self._clock() - recent[0])
        return (
            f"the agent host {self.spec.name!r} died {len(recent)} times in "
            f"{CRASH_WINDOW_SECONDS:.0f} seconds; it is tried again in {wait:.0f} seconds, "
            f"mend its agents before. {self._last_words}"
        )


def host_http(door: str, *, timeout: float | None = None) -> httpx.AsyncClient:
    """An HTTP client of the host behind the socket ``door``."""
    return unix_http(door, base_url=HOST_URL, timeout=timeout)


def _run_folder(root: Path | None) -> Path:
    folder = private_folder("host", within=root)
    (folder / _SHOWN).mkdir()
    return folder


def _take_door(socket: str, door: Path) -> str:
    """The host's socket under a name that code inside cannot reach: what it puts in its place
    later, such as a link to the socket of something else, is never connected to.

    Raises:
        HostStartError: it is no socket, or cannot be had.
    """
    try:
        os.link(socket, door, follow_symlinks=False)
        if stat.S_ISSOCK(door.lstat().st_mode):
            return str(door)
        door.unlink()
    except OSError as error:
        raise HostStartError(f"the socket of the host cannot be used: {error}") from error
    raise HostStartError("the host put something else where its socket should be")


async def last_lines(deployment: Deployment) -> str:
    """What a process said last, as a sentence for an error message."""
    lines: deque[str] = deque(maxlen=LOG_LINES)
    async for line in deployment.logs():
        if line.strip():
            lines.append(line.rstrip()[:500])
    return "Its last lines: " + "\n".join(lines) if lines else "It said nothing."


async def _listing(door: str) -> HostListing:
    try:
        async with (
            host_http(door, timeout=10.0) as http,
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
