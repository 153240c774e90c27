"""The stores of contents: one suite for all, and what each can be struck by."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codin.database.postgres import PostgresDatabase
from codin.task.artifacts import ArtifactStore, FileArtifacts, InMemoryArtifacts, digest_of
from codin.task.artifacts.postgres import PostgresArtifacts
from codin.task.errors import ArtifactError, UnknownArtifact
from codin.testing.artifact_conformance import ArtifactStoreSuite


class TestInMemory(ArtifactStoreSuite):
    @pytest.fixture
    def store(self) -> InMemoryArtifacts:
        return InMemoryArtifacts()

    async def damage(self, store: ArtifactStore, digest: str) -> None:
        assert isinstance(store, InMemoryArtifacts)
        store._contents[digest] = b"wrong", 0.0


def file_of(folder: Path, digest: str) -> Path:
    return folder / digest[:2] / digest


class TestFiles(ArtifactStoreSuite):
    @pytest.fixture(params=["process", "full"])
    def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> FileArtifacts:
        self.folder = tmp_path / "contents"
        return FileArtifacts(self.folder, durability=request.param)

    async def damage(self, store: ArtifactStore, digest: str) -> None:
        file_of(self.folder, digest).write_bytes(b"wrong")


@pytest.mark.slow
class TestPostgres(ArtifactStoreSuite):
    @pytest.fixture
    async def store(self, database: str) -> AsyncIterator[PostgresArtifacts]:
        async with PostgresDatabase(database) as opened:
            self.opened = opened
            yield PostgresArtifacts(opened)

    async def damage(self, store: ArtifactStore, digest: str) -> None:
        statement = b"UPDATE artifact SET content = 'wrong' WHERE digest = %s"
        await self.opened.run(lambda connection: connection.execute(statement, (digest,)))


@pytest.mark.slow
async def test_what_one_gateway_puts_another_has(database: str) -> None:
    async with PostgresDatabase(database) as here, PostgresDatabase(database) as there:
        digest = await PostgresArtifacts(here).put(b"for all")
        assert await PostgresArtifacts(there).get(digest) == b"for all"


async def test_a_damaged_file_is_mended_by_the_same_content(tmp_path: Path) -> None:
    store = FileArtifacts(tmp_path)
    digest = await store.put(b"right")
    file_of(tmp_path, digest).write_bytes(b"righ")
    assert await store.put(b"right") == digest
    assert await store.get(digest) == b"right"


async def test_files_are_their_users_only(tmp_path: Path) -> None:
    digest = await FileArtifacts(tmp_path / "contents").put(b"mine")
    file = file_of(tmp_path / "contents", digest)
    assert [path.stat().st_mode & 0o077 for path in (file, *file.parents[:2])] == [0, 0, 0]


@pytest.mark.parametrize("call", ["write", "replace"])
async def test_a_full_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = FileArtifacts(tmp_path / "contents", durability="full")
    await store.put(b"before")
    monkeypatch.setattr(os, "fsync" if call == "write" else "replace", full)
    with pytest.raises(ArtifactError, match=r"cannot be stored in .*No space left on device"):
        await store.put(b"too much")
    monkeypatch.undo()
    with pytest.raises(UnknownArtifact):
        await store.get(digest_of(b"too much"))
    files = [path for path in (tmp_path / "contents").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == sorted([".lock", digest_of(b"before")])


async def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "contents").write_text("a file")
    with pytest.raises(ArtifactError, match="cannot be stored"):
        await FileArtifacts(tmp_path / "contents").put(b"x")


async def test_what_a_killed_put_left_behind_is_swept(tmp_path: Path) -> None:
    store = FileArtifacts(tmp_path)
    digest = await store.put(b"whole")
    young, old = (tmp_path / digest[:2] / f".put-{name}" for name in ("young", "old"))
    for file in (young, old):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    await store.sweep(3600)
    assert (young.exists(), old.exists()) == (True, False)
    assert await store.old(-60) == [digest]


_PUTS = """
import asyncio, sys
from codin.task.artifacts import FileArtifacts
store = FileArtifacts(sys.argv[1])
async def main():
    print("begun", flush=True)
    while True:
        await store.put(b"shared" * 1000)
asyncio.run(main())
"""


async def test_what_is_put_meanwhile_elsewhere_is_never_lost(tmp_path: Path) -> None:
    """Another process puts a content again and again while this one removes it when it can: who
    has been given its digest within the time finds it."""
    store = FileArtifacts(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _PUTS, str(tmp_path)], stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout is not None
            await asyncio.to_thread(other.stdout.readline)
            for _ in range(100):
                digest = await store.put(b"shared" * 1000)
                await store.remove(digest, seconds=30)
                assert await store.get(digest) == b"shared" * 1000
        finally:
            other.kill()
