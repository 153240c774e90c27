"""Which memory an address means."""

import sys
from pathlib import Path

import pytest

from codin.errors import InvalidInputError
from codin.memory import InMemoryMemory, MemoryFailure, SQLiteMemory, open_memory
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import ANNA


async def test_a_path_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "memory.db"
    for number, where in enumerate(
        (path, str(path), f"sqlite:{path}", f"sqlite://{path}", "memory.db", "sqlite:memory.db")
    ):
        async with open_memory(where) as memory:
            assert isinstance(memory, SQLiteMemory)
            assert len(await memory.notes.list(ANNA)) == number
            await memory.notes.put(ANNA, str(number), 1)
    assert [file.name for file in tmp_path.iterdir()] == ["memory.db"]
    async with open_memory(Path("redis:odd")) as memory:
        await memory.notes.put(ANNA, "k", 1)
    assert (tmp_path / "redis:odd").exists()


async def test_memory_is_gone_with_the_process() -> None:
    async with open_memory("memory:", embedder=HashingEmbedder()) as memory:
        assert isinstance(memory, InMemoryMemory)
        assert await memory.chunks.search(ANNA, "x", mode="vector") == []


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("postgresql://ann@host/name", "PostgresMemory"),
        ("postgres://ann@host/name", "PostgresMemory"),
        ("redis://host:6379/0", "RedisMemory"),
        ("rediss://host", "RedisMemory"),
        ("unix:///run/redis.sock", "RedisMemory"),
    ],
)
async def test_an_address_is_a_server(where: str, kind: str) -> None:
    async with open_memory(where) as memory:
        assert type(memory).__name__ == kind


@pytest.mark.parametrize("where", ["mysql://host/name", "http://host", "memory:x", "sqlite:"])
def test_other_addresses_are_refused(where: str) -> None:
    with pytest.raises(InvalidInputError, match=r"begins with .*: - give a path, sqlite:PATH"):
        open_memory(where)


def test_without_a_driver_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codin.memory.postgres", None)
    with pytest.raises(MemoryFailure, match=r"pip install 'codin\[postgres\]'"):
        open_memory("postgresql://host/name")
