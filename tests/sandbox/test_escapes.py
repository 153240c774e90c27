"""Nobody gets out of a sandbox, in any place that this machine has; every control does."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from codin.sandbox.errors import SandboxUnavailable
from codin.testing.escapes import (
    ATTEMPTS,
    FAMILIES,
    MOST_DELAY,
    PLACES,
    Trace,
    run_controls,
    run_place,
)
from codin.testing.escapes.report import load, page
from codin.testing.escapes.user import can_be_somebody_else, escapes_of_nobody

PAGE = Path(__file__).parents[2] / "docs" / "security" / "escapes.md"
BY_ANYBODY = [name for name, place in PLACES.items() if place.by_anybody]

CONTROLLED = ATTEMPTS if os.environ.get("CODIN_TEST_ESCAPES") == "whole" else ATTEMPTS[::4]
"""Those whose controls are run too: `make prove` runs all of them."""

slow = pytest.mark.slow
needs_root = pytest.mark.skipif(
    not can_be_somebody_else(),
    reason="root with setpriv can also try what another user can; run by a user, all tests do",
)


def test_there_are_enough_of_them_and_each_has_its_own_name():
    assert len(ATTEMPTS) >= 120
    assert Counter(attempt.id for attempt in ATTEMPTS).most_common(1)[0][1] == 1
    assert all(attempt.sees and attempt.tries and attempt.control.words for attempt in ATTEMPTS)
    assert all(why for attempt in ATTEMPTS for why in attempt.absent.values())
    assert all(set(attempt.absent) <= set(PLACES) for attempt in ATTEMPTS)


@slow
@pytest.mark.parametrize("name", PLACES)
def test_none_gets_out(name, capsys):
    place, before = PLACES[name], Trace.now()
    try:
        results = asyncio.run(run_place(place, ATTEMPTS))
    except SandboxUnavailable as error:
        pytest.skip(f"{place.title}: {error}")
    left = Trace.now().since(before)
    with capsys.disabled():
        absent = [result for result in results if result.status == "absent"]
        worst = max(result.delay for result in results)
        print(
            f"\n{place.title}: {len(results) - len(absent)} attempts, "
            f"{len(absent)} mean nothing here, the host was late by {worst:.2f} s at most"
        )
    assert [r for r in results if r.status not in {"held", "absent"}] == []
    assert {result.id for result in results} == {attempt.id for attempt in ATTEMPTS}
    assert [r for r in results if r.delay > MOST_DELAY] == []
    assert left == []


@slow
@needs_root
@pytest.mark.parametrize("name", BY_ANYBODY)
def test_none_gets_out_of_a_user_s(name):
    try:
        rows = escapes_of_nobody("--place", name)
    except SandboxUnavailable as error:
        pytest.skip(f"{PLACES[name].title}: {error}")
    bad = {n: row for n, row in rows.items() if row["status"] not in {"held", "absent"}}
    assert bad == {}
    assert set(rows) == {attempt.id for attempt in ATTEMPTS}
    assert {n: row["delay"] for n, row in rows.items() if row["delay"] > MOST_DELAY} == {}


@slow
def test_every_control_gets_out():
    """Or the attempt would show nothing."""
    found = asyncio.run(run_controls(CONTROLLED))
    assert {name: came for name, came in found.items() if not came.got} == {}
    assert set(found) == {attempt.id for attempt in CONTROLLED if attempt.control.runs}


@slow
@needs_root
def test_every_control_of_a_user_s_gets_out():
    only = (f"--only={attempt.id}" for attempt in CONTROLLED)
    rows = escapes_of_nobody("--controls", *only)
    assert {name: row for name, row in rows.items() if not row["got"]} == {}
    assert len(rows) > len(CONTROLLED) / 3


def test_the_page_is_what_was_run():
    run = load(PAGE)
    assert page(FAMILIES, run) == PAGE.read_text(encoding="utf-8"), "make it anew: see its head"
    names = {attempt.id for attempt in ATTEMPTS}
    for rows in run["places"].values():
        assert set(rows) == names
        assert {row["status"] for row in rows.values()} <= {"held", "absent"}
    for rows in run["controls"].values():
        assert set(rows) <= names
        assert all(row["got"] for row in rows.values())
