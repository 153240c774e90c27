"""The contracts of push notifications: where configs are kept, and how one is sent.

A config belongs to the principal who made it. Its cursor says how far the task's log was told to
it; whoever holds the config's lease tells the rest, in order, each event at least once. An event
that could not be told becomes a dead letter, and the next one follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from codin.security import Principal


@dataclass(frozen=True, slots=True)
class PushConfig:
    """Where the news of a task are sent, with what to show there."""

    id: str
    task_id: str
    url: str
    token: str = field(default="", repr=False)
    scheme: str = ""
    credentials: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PushPage:
    """Configs in the order of their making; ``cursor`` is where the next page begins, or
    ``None``."""

    configs: tuple[PushConfig, ...]
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event of a task that a receiver did not take. The event itself is in the task's log.

    ``status`` is the receiver's last HTTP status, if it answered at all; ``first`` and ``last``
    attempt are in seconds since the epoch.
    """

    task_id: str
    config_id: str
    seq: int
    url: str
    reason: str
    status: int | None
    attempts: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Dead letters, newest first; ``cursor`` is where the next page begins, or ``None``."""

    letters: tuple[DeadLetter, ...]
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to tell a config the events after ``cursor``. ``number`` names the config among all
    that ever were."""

    number: int
    owner: str
    principal: Principal
    config: PushConfig
    cursor: int


@dataclass(frozen=True, slots=True)
class Notification:
    """What is sent: ``body`` is the JSON of A2A's StreamResponse. ``event_id`` is the same at each
    attempt, so that a receiver can drop what it has already."""

    task_id: str
    seq: int
    body: bytes

    @property
    def event_id(self) -> str:
        return f"{self.task_id}/{self.seq}"


class UrlGuard(Protocol):
    """Decides where the platform may send to."""

    async def check(self, url: str) -> None:
        """Return when ``url`` may be fetched.

        Raises:
            CodinError: it may not, or nobody can tell; the message is for who gave the url.
        """


class PushSender(ABC):
    """Makes one attempt at a delivery."""

    @abstractmethod
    async def send(self, config: PushConfig, notification: Notification) -> None:
        """Return once the receiver has taken it.

        Raises:
            DeliveryFailed: it has not.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections. Closing twice does nothing."""


class PushConfigStore(ABC):
    """Configs, how far each was told, and dead letters; all of it survives the process.

    The first five methods see only what is the principal's own; the others are the delivery's. All
    raise ``PushStoreError`` when the store cannot be used.
    """

    @abstractmethod
    async def put(self, principal: Principal, config: PushConfig, *, after: int, most: int) -> None:
        """Keep ``config``, to be told the events with ``seq > after``. One of the same id is
        replaced, and goes on from its own cursor unless it was told everything before; by the very
        same one nothing changes.

        Raises:
            PushConfigRefused: the task has ``most`` others of this principal.
        """

    @abstractmethod
    async def get(self, principal: Principal, task_id: str, config_id: str) -> PushConfig:
        """The config.

        Raises:
            UnknownPushConfig: there is none for this principal.
        """

    @abstractmethod
    async def list(
        self, principal: Principal, task_id: str, *, limit: int = 50, after: int | None = None
    ) -> PushPage:
        """A page of the task's configs; ``after`` is the cursor of the page before."""

    @abstractmethod
    async def delete(self, principal: Principal, task_id: str, config_id: str) -> None:
        """Forget the config. One that is not there is forgotten already."""

    @abstractmethod
    async def dead_letters(
        self,
        principal: Principal,
        *,
        task_id: str | None = None,
        limit: int = 50,
        after: int | None = None,
    ) -> DeadLetterPage:
        """A page of what could not be told; ``after`` is the cursor of the page before."""

    @abstractmethod
    async def claim(
        self, owner: str, ttl: float, is_dead: Callable[[str], bool], *, limit: int = 1000
    ) -> tuple[Claim, ...]:
        """Lease to ``owner`` for ``ttl`` seconds the configs that have not been told everything and
        that nobody holds: not held, expired, or held by an owner that ``is_dead``."""

    @abstractmethod
    async def renew(self, owner: str, ttl: float, numbers: Collection[int]) -> None:
        """Keep those of ``numbers`` that ``owner`` still holds for ``ttl`` seconds from now."""

    @abstractmethod
    async def current(self, claim: Claim) -> Claim | None:
        """The claim with the config as it stands now; ``None`` when it was deleted, or another
        holds it."""

    @abstractmethod
    async def advance(
        self, claim: Claim, seq: int, *, letter: DeadLetter | None = None, done: bool = False
    ) -> bool:
        """Note, in one transaction, that everything up to ``seq`` was told or became ``letter``,
        and, when ``done``, that nothing will follow. ``False``, and nothing noted, when the claim
        does not hold any more."""

    @abstractmethod
    async def release(self, claim: Claim) -> None:
        """Give the claim back. A stale one changes nothing."""

    @abstractmethod
    async def leave(self, owner: str) -> None:
        """Give back whatever ``owner`` holds."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the store. Closing twice does nothing."""
