"""`codin memory`: what is remembered of the local user, and of nobody else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from codin.cli.memory import memory
from codin.gateway.memory import FILE_NAME
from codin.memory import Chunk, MemoryMessage, SQLiteMemory
from codin.security import LOCAL_USER, Scope
from codin.testing.hashing_embedder import HashingEmbedder

MINE = Scope.of(LOCAL_USER, agent="analyst", session="s1")
OTHERS = Scope("other", "ann", "analyst", "s1")


async def _fill(path: Path) -> None:
    async with SQLiteMemory(path, embedder=HashingEmbedder(16)) as kept:
        for scope in (MINE, OTHERS):
            whose = scope.tenant
            said = MemoryMessage("user", f"hello of {whose}", f"m-{whose}", time=1_000.0)
            await kept.history.append(scope, said)
            await kept.notes.put(scope, f"plan-{whose}", {"steps": 3})
            text = f"peanuts of {whose} \x1b[31m"
            await kept.chunks.upsert(scope, Chunk(text, f"c-{whose}", {"page": 1}))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("CODIN_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    asyncio.run(_fill(home / FILE_NAME))
    return home


def run(*words: str) -> Result:
    return CliRunner().invoke(memory, list(words))


def rows(*words: str) -> list[dict[str, Any]]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("home")
def test_ones_own_is_listed_the_latest_first() -> None:
    found = rows("list")
    assert [row["kind"] for row in found] == ["chunk", "note", "message"]
    assert {row["tenant"] for row in found} == {LOCAL_USER.tenant}
    assert [row["id"] for row in rows("list", "--kind", "chunk")] == ["c-local"]
    assert len(rows("list", "--limit", "1")) == 1
    assert rows("list", "--agent", "writer") == []
    shown = run("list").output
    assert "peanuts of local" in shown
    assert "\x1b" not in shown
    assert "other" not in shown


@pytest.mark.usefixtures("home")
def test_one_is_shown_whole_by_the_beginning_of_its_name() -> None:
    [entry] = rows("show", "pla")
    assert (entry["key"], entry["value"]) == ("plan-local", {"steps": 3})
    assert "text: hello of local" in run("show", "m-local").output
    for name in ("c-other", "unknown"):
        missing = run("show", name)
        assert "nothing is remembered" in str(missing.exception)
    several = run("show", "")
    assert "3 begin with ''" in str(several.exception)


@pytest.mark.usefixtures("home")
def test_it_is_searched_by_words() -> None:
    [found] = rows("search", "peanuts")
    assert (found["id"], found["metadata"]) == ("c-local", {"page": 1})
    assert rows("search", "walnuts") == []
    assert "peanuts of local" in run("search", "peanut").output


def test_it_is_forgotten_when_one_says_what(home: Path) -> None:
    assert run("forget").exit_code == 2
    assert run("forget", "--everything", "--agent", "a").exit_code == 2
    assert rows("forget", "--session", "s2") == [{"messages": 0, "notes": 0, "chunks": 0}]
    assert len([json.loads(line) for line in run("export").stdout.splitlines()]) == 3
    assert "1 messages, 1 notes, 1 chunks" in run("forget", "--everything").output
    assert rows("list") == []

    async def left() -> int:
        async with SQLiteMemory(home / FILE_NAME) as kept:
            return (await kept.contents(OTHERS)).total

    assert asyncio.run(left()) == 3


def test_texts_are_embedded_anew_for_everybody(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("reembed")
    assert "no embedder" in str(refused.exception)
    (tmp_path / "codin.toml").write_text('[memory]\nembedder = "hashing"\n')
    assert rows("reembed", "--batch", "1") == [
        {"collection": "default", "done": 1},
        {"collection": "default", "done": 2},
    ]
    assert "0 texts were embedded" in run("reembed").output
    [found] = rows("search", "peanuts of local")
    assert found["score"] == 1.0

    async def nearest() -> str:
        async with SQLiteMemory(home / FILE_NAME, embedder=HashingEmbedder()) as kept:
            [found] = await kept.chunks.search(OTHERS, "peanuts", mode="vector")
            return found.id

    assert asyncio.run(nearest()) == "c-other"


@pytest.mark.usefixtures("home")
def test_an_embedder_that_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    (tmp_path / "codin.toml").write_text('[memory]\nembedder = "openai:text-embedding-3-small"\n')
    listed = run("list", "--json")
    assert listed.exit_code == 0
    assert "words only" in listed.stderr
    assert "OPENAI_API_KEY" in listed.stderr
    assert run("reembed").exit_code == 1
    (tmp_path / "codin.toml").write_text('[memory]\nembedder = "word2vec"\n')
    assert "memory.embedder: 'word2vec' names no embedder" in str(run("list").exception)
