"""Who gets how much: rates, what is under way, and how many callers are told apart."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import pytest

from codin.config import LimitSettings
from codin.gateway.errors import LimitReached
from codin.gateway.quota import Quota
from codin.security import NOBODY, Principal

ANN = Principal("acme", "ann")
BOB = Principal("acme", "bob")
OTHER_ANN = Principal("umbrella", "ann")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def quota(clock: Clock | None = None, *, accounts: int = 100, **limits: int) -> Quota:
    off = dict.fromkeys(
        ("requests", "streams", "requests_per_second", "tasks_per_minute", "anonymous_per_second"),
        0,
    )
    settings = LimitSettings.model_validate(off | limits)
    return Quota(settings, clock=clock or Clock(), accounts=accounts)


def taken(quota: Quota, tries: int, who: Principal = ANN, host: str = "10.0.0.1") -> int:
    """How many of ``tries`` requests, one after the other, are let in."""
    let_in = 0
    for _ in range(tries):
        try:
            quota.enter(who, host).leave()
        except LimitReached:
            continue
        let_in += 1
    return let_in


def test_a_second_has_so_many_requests_and_no_more() -> None:
    clock = Clock()
    limited = quota(clock, requests_per_second=5)
    assert taken(limited, 20) == 5
    clock.now += 0.2
    assert taken(limited, 20) == 1
    clock.now += 60  # what was not used long ago does not add up
    assert taken(limited, 20) == 5


def test_over_a_long_time_the_rate_is_kept_exactly() -> None:
    clock = Clock()
    limited = quota(clock, requests_per_second=7)
    got = 0
    for _ in range(10_000):
        got += taken(limited, 1)
        clock.now += 0.01
    assert 700 <= got <= 707


def test_the_wait_that_is_told_is_the_wait_that_it_takes() -> None:
    clock = Clock()
    limited = quota(clock, tasks_per_minute=2)
    turn = limited.enter(ANN, None)
    turn.task()
    turn.task()
    with pytest.raises(LimitReached) as caught:
        turn.task()
    assert caught.value.retry_after == 30
    assert str(caught.value) == (
        "no more than 2 new tasks a minute are taken from a caller; try again in 30 s"
        " (limits.tasks_per_minute = 2)"
    )
    clock.now += caught.value.retry_after
    turn.task()


def test_each_principal_has_its_own_wherever_it_comes_from() -> None:
    limited = quota(requests_per_second=3)
    assert [taken(limited, 9, who) for who in (ANN, BOB, OTHER_ANN)] == [3, 3, 3]
    assert taken(limited, 9, ANN, "10.0.0.2") == 0
    # who acts for it, and what it may do, do not make it another
    narrowed = Principal("acme", "ann", scopes=frozenset({"task.read"}), actors=("agent",))
    assert taken(limited, 9, narrowed) == 0


def test_what_is_under_way_is_counted_until_it_is_left() -> None:
    limited = quota(requests=2)
    turns = [limited.enter(ANN, None) for _ in range(2)]
    with pytest.raises(LimitReached, match=r"limits\.requests = 2"):
        limited.enter(ANN, None)
    limited.enter(BOB, None)
    for _ in range(3):  # leaving twice is leaving once
        turns[0].leave()
    limited.enter(ANN, None)
    with pytest.raises(LimitReached):
        limited.enter(ANN, None)


def test_a_stream_is_no_request_under_way_any_more() -> None:
    limited = quota(requests=1, streams=2)
    for _ in range(2):
        turn = limited.enter(ANN, None)
        turn.stream()
        turn.stream()  # said twice, it is one stream
    third = limited.enter(ANN, None)
    with pytest.raises(LimitReached, match=r"2 streams of yours are open.*limits\.streams = 2"):
        third.stream()
    third.leave()
    turn.leave()
    turn.leave()
    again = limited.enter(ANN, None)
    again.stream()
    with pytest.raises(LimitReached):
        limited.enter(ANN, None).stream()


def test_who_shows_nothing_is_counted_by_address() -> None:
    limited = quota(anonymous_per_second=4)
    assert taken(limited, 9, NOBODY, "10.0.0.1") == 4
    assert taken(limited, 9, NOBODY, "10.0.0.2") == 4
    with pytest.raises(LimitReached, match="without a good credential"):
        limited.failed("10.0.0.2")
    assert taken(limited, 9, ANN, "10.0.0.1") == 9  # a principal is not its address


def test_a_subscriber_with_many_ipv6_addresses_is_one_caller() -> None:
    limited = quota(anonymous_per_second=4)
    hosts = [f"2001:db8:1:2::{number:x}" for number in range(1, 9)]
    assert sum(taken(limited, 1, NOBODY, host) for host in hosts) == 4
    assert taken(limited, 9, NOBODY, "2001:db8:1:3::1") == 4
    assert taken(limited, 9, NOBODY, "::ffff:10.0.0.1") == 4
    assert taken(limited, 9, NOBODY, "10.0.0.1") == 0
    assert taken(limited, 9, NOBODY, "fe80::1%eth0") == 4
    assert sum(taken(limited, 9, NOBODY, host) for host in ("no:address", "nor:this")) == 4


def test_nothing_is_limited_by_zero() -> None:
    limited = quota()
    turns = [limited.enter(ANN, None) for _ in range(5000)]
    for turn in turns:
        turn.stream()
        turn.task()
    for _ in range(5000):
        limited.failed(None)


def test_a_flood_of_addresses_takes_no_memory_and_pushes_no_principal_out() -> None:
    clock = Clock()
    limited = quota(clock, accounts=1000, requests_per_second=3, anonymous_per_second=1)
    assert taken(limited, 3, ANN) == 3
    tracemalloc.start()
    for number in range(1000):
        limited.failed(f"10.1.{number >> 8}.{number & 255}")
    before, _ = tracemalloc.get_traced_memory()
    for number in range(5_000):
        clock.now += 1e-6
        taken(limited, 1, NOBODY, f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert limited.accounts <= 1001
    assert after - before < 20_000
    assert taken(limited, 3, ANN) == 0


def test_who_finds_no_room_shares_with_others_until_there_is_some() -> None:
    clock = Clock()
    limited = quota(clock, accounts=2, requests=1, anonymous_per_second=1)
    held = [limited.enter(NOBODY, f"10.0.0.{number}") for number in (1, 2)]
    assert taken(limited, 1, NOBODY, "10.0.0.3") == 1
    assert taken(limited, 1, NOBODY, "10.0.0.4") == 0
    for turn in held:
        turn.leave()
    clock.now += 2
    assert [taken(limited, 2, NOBODY, f"10.0.0.{number}") for number in (3, 4)] == [1, 1]
    assert limited.accounts == 2
