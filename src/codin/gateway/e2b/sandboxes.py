"""The sandboxes that are served: whose they are, how long they live, and how they are found."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from weakref import WeakValueDictionary

from codin.config import E2bSettings
from codin.gateway.e2b.errors import AlreadyThere, NotThere, TooMany
from codin.gateway.e2b.interpreter import Contexts
from codin.gateway.e2b.paths import HOME
from codin.gateway.e2b.processes import ProcessTable
from codin.gateway.e2b.spares import Spares
from codin.gateway.e2b.watchers import Watchers
from codin.sandbox.base import MIB, Limits, Sandbox, SandboxProvider, SandboxSpec
from codin.security import Access, Principal

_log = logging.getLogger(__name__)

TEMPLATES = frozenset({"base", "code-interpreter-v1"})
"""The templates that there are: the same place by the names that the SDKs ask for."""

PERMISSION = "runtime.run:e2b"
TRANSFERS = 4
"""How many files of one caller are held at the same time, on their way in or out."""

_KEYS = 1000
"""How many requests with a key of their own are remembered."""


@dataclass
class ServedSandbox:
    """One sandbox: who made it, with what, and what runs in it.

    ``started`` and ``ends`` are seconds since the epoch. ``token`` opens files, commands and code;
    ``traffic_token`` the ports that programs inside listen on.
    """

    id: str
    owner: Principal
    sandbox: Sandbox
    template: str
    metadata: Mapping[str, str]
    envs: Mapping[str, str]
    internet: bool | None
    started: float
    ends: float
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    traffic_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def __post_init__(self) -> None:
        self.processes = ProcessTable(self.sandbox, self.envs, HOME)
        self.contexts = Contexts(self.sandbox, self.envs, HOME)
        self.watchers = Watchers(self.sandbox)

    def signed(self, signature: str, path: str, operation: str, user: str, until: str) -> bool:
        """Whether ``signature`` is one for this file, made with the token (E2B's scheme v1)."""
        raw = ":".join([path, operation, user, self.token, *([until] if until else ())])
        digest = hashlib.sha256(raw.encode()).digest()
        return compare_digest(signature.encode(), _v1(digest).encode())

    async def end(self) -> None:
        """End it with all that runs in it."""
        await self.watchers.close()
        await self.contexts.close()
        await self.processes.close()
        await self.sandbox.kill()


@dataclass(frozen=True)
class Wanted:
    """What a new sandbox is to be; ``timeout`` in seconds."""

    template: str
    timeout: int
    metadata: Mapping[str, str]
    envs: Mapping[str, str]
    internet: bool | None


class SandboxService:
    """Every sandbox that is served, by its id. Each belongs to who made it, and to nobody else."""

    def __init__(
        self,
        provider: SandboxProvider,
        access: Access,
        settings: E2bSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._spares = Spares(provider, self._spec(), HOME, count=settings.spare)
        self._access = access
        self._clock = clock
        self._served: dict[str, ServedSandbox] = {}
        self._coming: dict[tuple[str, str], int] = {}
        self._transfers: WeakValueDictionary[tuple[str, str], asyncio.Semaphore]
        self._transfers = WeakValueDictionary()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._once: OrderedDict[tuple[str, str, str], tuple[str, asyncio.Future[ServedSandbox]]]
        self._once = OrderedDict()
        self.cpu_count = len(_affinity())

    @property
    def limits(self) -> Limits:
        """What each sandbox may use. Time is kept by the service."""
        chosen = self.settings
        return Limits(
            memory_bytes=chosen.memory_mb * MIB,
            disk_bytes=chosen.disk_mb * MIB,
            processes=chosen.processes,
            wall_seconds=None,
            output_bytes=None,
            network=chosen.network or "none",
        )

    def busy(self) -> None:
        """A request is on its way: what can wait does."""
        self._spares.busy()

    def begin(self) -> None:
        """Have sandboxes ready before they are asked for."""
        self._spares.begin()

    async def create(self, principal: Principal, wanted: Wanted, *, origin: str) -> ServedSandbox:
        """A new sandbox of ``principal``'s.

        Raises:
            ForbiddenError: it may have none.
            TooMany: it has as many as it may.
            SandboxUnavailable: there is none to be had here.
        """
        identity = secrets.token_hex(10)
        owner = (principal.tenant, principal.subject)
        doing = self._access.doing(principal, PERMISSION, resource=identity, origin=origin)
        async with doing:
            self._check_room(principal)
            self._coming[owner] = self._coming.get(owner, 0) + 1
            try:
                sandbox = await self._made(wanted)
            finally:
                self._coming[owner] -= 1
                if not self._coming[owner]:
                    del self._coming[owner]
            now = self._clock()
            made = ServedSandbox(
                id=identity,
                owner=principal,
                sandbox=sandbox,
                template=wanted.template,
                metadata=wanted.metadata,
                envs=wanted.envs,
                internet=wanted.internet,
                started=now,
                ends=now,
            )
            self._served[identity] = made
            self.set_end(made, wanted.timeout)
            return made

    async def once(
        self,
        principal: Principal,
        key: str,
        digest: str,
        make: Callable[[], Awaitable[ServedSandbox]],
    ) -> ServedSandbox:
        """What ``make`` makes, or made before for the same ``key`` and the same request.

        Raises:
            AlreadyThere: the key was used for another request.
        """
        place = (principal.tenant, principal.subject, key)
        if place in self._once:
            before, making = self._once[place]
            if before != digest:
                raise AlreadyThere("the idempotency key was used for another request")
            return await asyncio.shield(making)
        making = asyncio.ensure_future(make())
        self._once[place] = (digest, making)
        while len(self._once) > _KEYS:
            self._once.popitem(last=False)
        try:
            return await asyncio.shield(making)
        except Exception:
            self._once.pop(place, None)
            raise

    def transfers(self, principal: Principal) -> asyncio.Semaphore:
        """What a file of ``principal`` takes a turn of while all of it is held here."""
        owner = (principal.tenant, principal.subject)
        found = self._transfers.get(owner)
        if found is None:
            found = self._transfers[owner] = asyncio.Semaphore(TRANSFERS)
        return found

    def list(self, principal: Principal) -> Sequence[ServedSandbox]:
        """The sandboxes of ``principal``, the oldest first."""
        if not self._access.authorizer.allows(principal, PERMISSION):
            return ()
        return [each for each in self._served.values() if _is_of(each, principal)]

    def get(self, principal: Principal, identity: str) -> ServedSandbox:
        """A sandbox of ``principal``.

        Raises:
            NotThere: there is none by that id that is its own.
        """
        found = self._served.get(identity)
        allowed = self._access.authorizer.allows(principal, PERMISSION)
        if found is None or not allowed or not _is_of(found, principal):
            raise NotThere(f"sandbox {identity[:100]!r} was not found")
        return found

    def find(self, identity: str) -> ServedSandbox | None:
        """A sandbox by its id, whoever's it is: for callers who show a token of it."""
        found = self._served.get(identity)
        if found is None or not self._access.authorizer.allows(found.owner, PERMISSION):
            return None
        return found

    def find_signed(
        self, signature: str, path: str, operation: str, user: str, until: str
    ) -> ServedSandbox | None:
        """The sandbox for which a file's address was signed, if that still counts."""
        if until and not (until.isascii() and until.isdigit() and int(until) > self._clock()):
            return None
        for each in self._served.values():
            if each.signed(signature, path, operation, user, until):
                return self.find(each.id)
        return None

    def set_end(self, served: ServedSandbox, seconds: float, *, extend: bool = False) -> None:
        """Have ``served`` end in ``seconds``; with ``extend`` not before it would anyway."""
        ends = self._clock() + min(seconds, self.settings.seconds)
        if extend and ends <= served.ends:
            return
        served.ends = ends
        if timer := self._timers.pop(served.id, None):
            timer.cancel()
        wait = max(ends - self._clock(), 0.0)
        self._timers[served.id] = asyncio.get_running_loop().call_later(wait, self._late, served)

    async def kill(self, principal: Principal, identity: str, *, origin: str) -> None:
        """End a sandbox of ``principal``.

        Raises:
            NotThere: as ``get``.
        """
        served = self.get(principal, identity)
        async with self._access.doing(principal, PERMISSION, resource=identity, origin=origin):
            self._forget(served)
            await asyncio.shield(self._end(served))

    async def close(self) -> None:
        """End all of them."""
        for served in list(self._served.values()):
            self._forget(served)
            self._end(served)
        await self._spares.close()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _made(self, wanted: Wanted) -> Sandbox:
        if wanted.internet is not False or not self.settings.network:
            return await self._spares.take()
        limits = replace(self.limits, network="none")
        return await self._spares.make(replace(self._spec(), limits=limits))

    def _spec(self) -> SandboxSpec:
        env = {"HOME": HOME, "USER": "user", "LOGNAME": "user", "E2B_SANDBOX": "true"}
        return SandboxSpec(limits=self.limits, env=env, machine=True, name="e2b sandbox")

    def _check_room(self, principal: Principal) -> None:
        coming = self._coming.get((principal.tenant, principal.subject), 0)
        if len(self.list(principal)) + coming >= self.settings.sandboxes:
            raise TooMany(
                f"you have {self.settings.sandboxes} sandboxes, as many as a caller may "
                "(e2b.sandboxes): end one, or wait until one ends"
            )

    def _late(self, served: ServedSandbox) -> None:
        self._forget(served)
        self._end(served)

    def _forget(self, served: ServedSandbox) -> None:
        self._served.pop(served.id, None)
        if timer := self._timers.pop(served.id, None):
            timer.cancel()

    def _end(self, served: ServedSandbox) -> asyncio.Task[None]:
        task = asyncio.create_task(served.end(), name=f"end of sandbox {served.id}")
        self._ending.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a sandbox could not be ended: %s", error, exc_info=error)


def _is_of(served: ServedSandbox, principal: Principal) -> bool:
    owner = served.owner
    return (owner.tenant, owner.subject) == (principal.tenant, principal.subject)


def _v1(digest: bytes) -> str:
    return "v1_" + base64.b64encode(digest).rstrip(b"=").decode()


def _affinity() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)
