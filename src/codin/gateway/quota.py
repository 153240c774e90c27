"""What each caller takes of the gateway, and whether it may take more: one account a caller, over
every binding."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache

from starlette.requests import HTTPConnection

from codin.config import LimitSettings
from codin.gateway.errors import LimitReached
from codin.security import NOBODY, Principal

ACCOUNTS = 20_000
"""How many callers are told apart; some 200 bytes each."""

TURN = "turn"
"""Key of a request's turn in its state."""

_LOOKED_AT = 8
_EVERYBODY_ELSE = "everybody else"


class _Account:
    """What one caller has under way, and until when what it asked for is paid.

    Rates are counted as the generic cell rate algorithm has it (ITU-T I.371, annex A): a bucket
    that holds what a whole period allows is one number, the time when it is full again.
    """

    __slots__ = ("paid", "requests", "streams", "tasks_paid")

    def __init__(self) -> None:
        self.requests = 0
        self.streams = 0
        self.paid = 0.0
        self.tasks_paid = 0.0

    def idle(self, now: float) -> bool:
        """Whether nothing is lost when the account is."""
        open_ones = self.requests + self.streams
        return not open_ones and self.paid <= now and self.tasks_paid <= now


class _Accounts:
    """The accounts by caller, no more than ``size``: who has nothing under way is forgotten first,
    the longest silent of them. Those for whom there is no room share an account."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._by_caller: OrderedDict[Hashable, _Account] = OrderedDict()
        self._shared = _Account()

    def __len__(self) -> int:
        return len(self._by_caller)

    @property
    def open(self) -> int:
        """How many requests and streams all of them have under way."""
        accounts = (self._shared, *self._by_caller.values())
        return sum(account.requests + account.streams for account in accounts)

    def of(self, caller: Hashable, now: float) -> _Account:
        account = self._by_caller.get(caller)
        if account is not None:
            self._by_caller.move_to_end(caller)
            return account
        if len(self._by_caller) >= self._size and not self._made_room(now):
            return self._shared
        account = self._by_caller[caller] = _Account()
        return account

    def _made_room(self, now: float) -> bool:
        for _ in range(_LOOKED_AT):
            caller, account = next(iter(self._by_caller.items()))
            if account.idle(now):
                del self._by_caller[caller]
                return True
            self._by_caller.move_to_end(caller)
        return False


class Quota:
    """Lets callers in within ``limits``. A principal has one account, whatever bindings and
    addresses it comes by; who shows no credential, or a wrong one, has that of its address.

    Nothing here waits, and nothing runs beside it: a refusal is a ``LimitReached``, at once.
    """

    def __init__(
        self,
        limits: LimitSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        accounts: int = ACCOUNTS,
    ) -> None:
        self.limits = limits or LimitSettings()
        self._clock = clock
        # apart, so that a flood from many addresses pushes no principal out
        self._principals = _Accounts(accounts)
        self._addresses = _Accounts(accounts)

    @property
    def accounts(self) -> int:
        """How many callers there are accounts of."""
        return len(self._principals) + len(self._addresses)

    @property
    def open(self) -> int:
        """How many requests and streams are under way."""
        return self._principals.open + self._addresses.open

    def enter(self, principal: Principal, host: str | None) -> Turn:
        """A turn for a request of ``principal`` from the address ``host``; it has to be left.

        Raises:
            LimitReached: it has as many under way as it may, or sends them too fast.
        """
        if principal == NOBODY:
            return self.enter_address(host)
        now = self._clock()
        account = self._principals.of((principal.tenant, principal.subject), now)
        self._check_open(account)
        account.paid = _paid(
            account.paid, now, self.limits.requests_per_second, "requests_per_second"
        )
        return Turn(self, account)

    def enter_address(self, host: str | None) -> Turn:
        """A turn for a request from ``host``, whoever sent it.

        Raises:
            LimitReached: as for ``enter``.
        """
        account = self._address(host)
        self._check_open(account)
        return Turn(self, account)

    def failed(self, host: str | None) -> None:
        """Count a request from ``host`` that showed no credential that is good.

        Raises:
            LimitReached: there are too many of them.
        """
        self._address(host)

    def stream(self, account: _Account) -> None:
        """Make a request of the account a stream.

        Raises:
            LimitReached: it has as many open as it may.
        """
        allowed = self.limits.streams
        if allowed and account.streams >= allowed:
            raise LimitReached("streams", allowed)
        account.requests -= 1
        account.streams += 1

    def task(self, account: _Account) -> None:
        """Count a new task of the account.

        Raises:
            LimitReached: it begins them too fast.
        """
        allowed = self.limits.tasks_per_minute
        account.tasks_paid = _paid(
            account.tasks_paid, self._clock(), allowed, "tasks_per_minute", period=60.0
        )

    def _address(self, host: str | None) -> _Account:
        now = self._clock()
        account = self._addresses.of(_network(host), now)
        allowed = self.limits.anonymous_per_second
        account.paid = _paid(account.paid, now, allowed, "anonymous_per_second")
        return account

    def _check_open(self, account: _Account) -> None:
        allowed = self.limits.requests
        if allowed and account.requests >= allowed:
            raise LimitReached("requests", allowed)


class Turn:
    """A request that was let in, until ``leave``."""

    __slots__ = ("_account", "_left", "_quota", "_streaming")

    def __init__(self, quota: Quota, account: _Account) -> None:
        self._quota = quota
        self._account = account
        self._streaming = False
        self._left = False
        account.requests += 1

    def stream(self) -> None:
        """Say that a stream answers the request, before it begins.

        Raises:
            LimitReached: the caller has as many open as it may.
        """
        if not self._streaming:
            self._quota.stream(self._account)
            self._streaming = True

    @property
    def streaming(self) -> bool:
        """Whether a stream answers the request."""
        return self._streaming

    def task(self) -> None:
        """Say that the request begins a task, before it does.

        Raises:
            LimitReached: the caller begins them too fast.
        """
        self._quota.task(self._account)

    def leave(self) -> None:
        """The request is over. Safe to call twice."""
        if self._left:
            return
        self._left = True
        if self._streaming:
            self._account.streams -= 1
        else:
            self._account.requests -= 1


def turn_of(request: HTTPConnection) -> Turn:
    """The turn that the request has; one without never gets this far."""
    turn = request.scope["state"][TURN]
    assert isinstance(turn, Turn)
    return turn


def _paid(paid: float, now: float, allowed: int, name: str, period: float = 1.0) -> float:
    """Until when a caller has paid that takes one more now, of ``allowed`` in ``period`` seconds.

    Raises:
        LimitReached: the bucket is empty.
    """
    if not allowed:
        return paid
    following = max(paid, now) + period / allowed
    wait = following - now - period
    if wait > 1e-9:
        raise LimitReached(name, allowed, retry_seconds=wait)
    return following


def _network(host: str | None) -> str:
    """Whom an address stands for: with IPv6 one subscriber has a whole /64 (RFC 6177)."""
    return _ipv6_network(host) if host and ":" in host else host or ""


@lru_cache(1024)
def _ipv6_network(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return _EVERYBODY_ELSE
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
