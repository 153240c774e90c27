"""A goal's files, read by the host as if an enemy had written them: one has."""

import os
import stat
from pathlib import Path

import pytest

from codin.errors import InvalidInputError, NotFoundError
from codin.security import LOCAL_USER, Principal
from codin.tool import Workspaces

OTHER = Principal("local", "other", roles=frozenset({"owner"}))


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "root")


async def read(workspaces: Workspaces, path: str, who: Principal = LOCAL_USER) -> bytes:
    with await workspaces.open(who, "goal", path) as file:
        return await file.read(1_000_000)


async def test_a_folder_is_the_goals_and_closed_to_others(workspaces: Workspaces) -> None:
    folder = await workspaces.folder(LOCAL_USER, "goal")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert await workspaces.folder(LOCAL_USER, "goal") == folder
    others = {
        folder,
        await workspaces.folder(LOCAL_USER, "goal2"),
        await workspaces.folder(OTHER, "goal"),
        await workspaces.folder(Principal("t", "local"), "goal"),
    }
    assert len(others) == 4


@pytest.mark.parametrize("goal", ["", "..", ".", "a/b", "/etc", "a\0b", "x" * 200, "../x"])
async def test_an_id_that_is_no_name_is_refused(workspaces: Workspaces, goal: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be the id of a goal"):
        await workspaces.folder(LOCAL_USER, goal)


async def test_files_are_listed_and_read(workspaces: Workspaces) -> None:
    folder = await workspaces.folder(LOCAL_USER, "goal")
    (folder / "sub").mkdir()
    (folder / "sub" / "chart.png").write_bytes(b"png")
    (folder / "report.md").write_text("# hi")
    files = await workspaces.files(LOCAL_USER, "goal")
    assert [(f.path, f.size, f.media_type) for f in files] == [
        ("report.md", 4, "text/markdown"),
        ("sub/chart.png", 3, "image/png"),
    ]
    assert await read(workspaces, "sub/chart.png") == b"png"
    assert await read(workspaces, "/workspace/report.md") == b"# hi"
    with await workspaces.open(LOCAL_USER, "goal", "report.md") as file:
        assert [chunk async for chunk in file.chunks()] == [b"# hi"]


async def test_another_principal_finds_nothing(workspaces: Workspaces) -> None:
    folder = await workspaces.folder(LOCAL_USER, "goal")
    (folder / "report.md").write_text("secret")
    assert await workspaces.files(OTHER, "goal") == []
    with pytest.raises(NotFoundError):
        await read(workspaces, "report.md", OTHER)
    await workspaces.remove(OTHER, "goal")
    assert await read(workspaces, "report.md") == b"secret"
    await workspaces.remove(LOCAL_USER, "goal")
    assert await workspaces.files(LOCAL_USER, "goal") == []


async def test_no_way_leads_out(workspaces: Workspaces, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = await workspaces.folder(LOCAL_USER, "goal")
    (folder / "link.txt").symlink_to(secret)
    (folder / "out").symlink_to(tmp_path)
    (folder / "inner.txt").write_text("inner")
    (folder / "to_inner.txt").symlink_to("inner.txt")
    os.mkfifo(folder / "pipe")
    wanted = [
        *("link.txt", "out/secret.txt", "to_inner.txt", "pipe", "out", "."),
        *("../secret.txt", "a/../../secret.txt", str(secret), "", "/", "/workspace", "a\0b"),
    ]
    for path in wanted:
        with pytest.raises(NotFoundError, match="the goal has no file"):
            await read(workspaces, path)
    assert [file.path for file in await workspaces.files(LOCAL_USER, "goal")] == ["inner.txt"]


async def test_a_folder_that_becomes_a_link_is_not_followed(
    workspaces: Workspaces, tmp_path: Path
) -> None:
    folder = await workspaces.folder(LOCAL_USER, "goal")
    (tmp_path / "secret.txt").write_text("secret")
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert await workspaces.files(LOCAL_USER, "goal") == []
    with pytest.raises(NotFoundError):
        await read(workspaces, "secret.txt")


async def test_a_listing_is_bounded(workspaces: Workspaces) -> None:
    folder = await workspaces.folder(LOCAL_USER, "goal")
    for number in range(30):
        (folder / f"{number}.txt").touch()
    assert len(await workspaces.files(LOCAL_USER, "goal", most=10)) == 10
    deep = folder
    for _ in range(60):
        deep = deep / "d"
        deep.mkdir()
    (deep / "deep.txt").touch()
    assert "deep.txt" not in [f.path for f in await workspaces.files(LOCAL_USER, "goal")]


def test_data_is_mounted_read_only(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    file = tmp_path / "file.csv"
    file.touch()
    assert [(m.target, m.writable) for m in Workspaces(tmp_path, data=[one]).mounts] == [
        ("/workspace/data", False)
    ]
    several = Workspaces(tmp_path, data=[one, two, file]).mounts
    assert [mount.target for mount in several] == [
        "/workspace/data/one",
        "/workspace/data/two",
        "/workspace/data/file.csv",
    ]
    with pytest.raises(InvalidInputError, match=r"no data at .*nowhere"):
        Workspaces(tmp_path, data=[tmp_path / "nowhere"])
    (tmp_path / "x" / "one").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match="named 'one'"):
        Workspaces(tmp_path, data=[one, tmp_path / "x" / "one"])
