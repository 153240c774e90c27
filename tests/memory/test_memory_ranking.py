"""Rankings as one, and comparing vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codin.memory._matrix import Matrix
from codin.memory.embedder import unit_rows
from codin.memory.ranking import fused


def test_what_is_first_everywhere_has_all_there_is() -> None:
    assert fused([["a", "b"], ["a", "c"]]) == [
        ("a", pytest.approx(1)),
        ("b", pytest.approx(61 / 62 / 2)),
        ("c", pytest.approx(61 / 62 / 2)),
    ]
    assert fused([[], []]) == []
    assert fused([["a"]]) == [("a", 1)]


@given(st.lists(st.lists(st.integers(0, 20), unique=True), min_size=1, max_size=4))
def test_who_is_before_another_everywhere_is_so_in_the_end(rankings: list[list[int]]) -> None:
    scored = fused(rankings)
    assert {one for one, _ in scored} == {one for ranking in rankings for one in ranking}
    assert all(0 < score <= 1 + 1e-9 for _, score in scored)
    order = [one for one, _ in scored]
    for first in order:
        for other in order:
            places = [
                (ranking.index(first), ranking.index(other))
                for ranking in rankings
                if first in ranking and other in ranking
            ]
            if len(places) == len(rankings) and all(one < two for one, two in places):
                assert order.index(first) < order.index(other)


_steps = st.lists(
    st.one_of(st.integers(1, 200), st.sets(st.integers(1, 400), max_size=150)), max_size=8
)


@given(steps=_steps, count=st.integers(0, 30), seed=st.integers(0, 1000))
def test_a_matrix_gives_what_comparing_all_gives(
    steps: list[int | set[int]], count: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    matrix, kept, last = Matrix(5), dict[int, np.ndarray](), 0
    given_before = []
    for step in steps:
        if isinstance(step, int):
            ids = list(range(last + 1, last + step + 1))
            last += step
            rows = unit_rows(random.normal(size=(step, 5)))
            kept |= dict(zip(ids, rows, strict=True))
            ends = [None if one % 3 else float(one) for one in ids]
            places = [("a", str(one % 2)) for one in ids]
            matrix.add(ids, [row.tobytes() for row in rows], places, ends)
        else:
            kept = {one: row for one, row in kept.items() if one not in step}
            matrix.keep(list(kept))
        given_before.append((matrix.rows, dict(kept)))
    wanted = unit_rows(random.normal(size=(1, 5)))[0]
    for rows, held in given_before:  # what was given stays as it was
        there = {one: float(row @ wanted) for one, row in held.items() if one % 3 or one > 50}
        found = rows.nearest(wanted, count, now=50.0)
        _same(found, there, count)
    if given_before:
        rows, held = given_before[-1]
        few = [one for one in held if one % 2 and (one % 3 or one > 50)][:9]
        place = [matrix.places[("a", "1")]] if matrix.places else []
        found = rows.nearest(wanted, count, now=50.0, places=place, among=[*few, 9999])
        _same(found, {one: float(held[one] @ wanted) for one in few}, count)


def _same(found: list[tuple[int, float]], there: dict[int, float], count: int) -> None:
    best = sorted(there.values(), reverse=True)[:count]
    assert [score for _, score in found] == pytest.approx(best, abs=1e-6)
    assert [there[one] for one, _ in found] == pytest.approx(best, abs=1e-6)
