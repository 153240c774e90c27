"""Files by the official SDKs."""

from __future__ import annotations

import asyncio
import io
import time

import httpx
import pytest
from e2b import (
    AsyncSandbox,
    FileNotFoundException,
    FilesystemEventType,
    FileType,
    InvalidArgumentException,
    NotEnoughSpaceException,
    Sandbox,
    SandboxException,
)
from e2b_service import Service, running

WRITE, CREATE, REMOVE, RENAME, CHMOD = (
    FilesystemEventType.WRITE,
    FilesystemEventType.CREATE,
    FilesystemEventType.REMOVE,
    FilesystemEventType.RENAME,
    FilesystemEventType.CHMOD,
)


def test_text_and_bytes(shared: Sandbox) -> None:
    info = shared.files.write("a/b/text.txt", "grüße")
    assert (info.path, info.name, info.type) == (
        "/home/user/a/b/text.txt",
        "text.txt",
        FileType.FILE,
    )
    assert shared.files.read("/home/user/a/b/text.txt") == "grüße"
    data = bytes(range(256)) * 4000
    shared.files.write("~/data.bin", data)
    assert shared.files.read("data.bin", format="bytes") == data
    assert b"".join(shared.files.read("data.bin", format="stream")) == data
    assert shared.commands.run("sha256sum data.bin | cut -c1-8").stdout.strip()


def test_uploads_of_every_kind(shared: Sandbox) -> None:
    data = b"0123456789" * 20_000
    shared.files.write("up1", io.BytesIO(data))
    shared.files.write("up2", data, gzip=True)
    shared.files.write("up3", iter([data[:5], data[5:]]))
    for name in ("up1", "up2", "up3"):
        assert shared.files.read(name, format="bytes") == data
    written = shared.files.write_files(
        [{"path": "many/one", "data": "1"}, {"path": "/tmp/ two ü", "data": b"2"}]
    )
    assert [info.path for info in written] == ["/home/user/many/one", "/tmp/ two ü"]
    assert shared.commands.run("cat many/one '/tmp/ two ü'").stdout == "12"


def test_folders(shared: Sandbox) -> None:
    assert shared.files.make_dir("tree/in/ner") is True
    assert shared.files.make_dir("tree/in") is False
    shared.files.write("tree/f", "12345")
    shared.commands.run("ln -s f tree/link; chmod 750 tree/f")
    entries = {entry.name: entry for entry in shared.files.list("tree")}
    assert set(entries) == {"in", "f", "link"}
    file, link = entries["f"], entries["link"]
    assert (file.type, file.size, file.permissions) == (FileType.FILE, 5, "-rwxr-x---")
    assert (file.owner, file.group, file.mode) == ("user", "user", 0o750)
    assert abs(file.modified_time.timestamp() - time.time()) < 60
    assert (link.type, link.symlink_target) == (FileType.SYMLINK, "f")
    deep = [entry.path.removeprefix("/home/user/") for entry in shared.files.list("tree", depth=3)]
    assert deep == ["tree/f", "tree/in", "tree/in/ner", "tree/link"]
    assert shared.files.get_info("tree/in").type == FileType.DIR
    assert shared.files.get_info("tree/link").symlink_target == "f"


def test_moving_and_removing(shared: Sandbox) -> None:
    shared.files.write("old", "x")
    moved = shared.files.rename("old", "new/place")
    assert moved.path == "/home/user/new/place"
    assert not shared.files.exists("old")
    assert shared.files.exists("new/place")
    shared.files.remove("new")
    assert not shared.files.exists("new")


def test_what_is_not_there(shared: Sandbox) -> None:
    for call in (
        lambda: shared.files.read("nothing"),
        lambda: shared.files.list("nothing"),
        lambda: shared.files.get_info("nothing"),
        lambda: shared.files.rename("nothing", "x"),
        lambda: shared.files.watch_dir("nothing"),
    ):
        with pytest.raises(FileNotFoundException):
            call()
    shared.files.write("plain", "x")
    with pytest.raises(InvalidArgumentException):
        shared.files.read(".")
    with pytest.raises(InvalidArgumentException):
        shared.files.list("plain")


@pytest.mark.parametrize("path", ["/proc/1/environ", "/usr/x", "/etc/passwd"])
def test_what_may_not_be_written(shared: Sandbox, path: str) -> None:
    with pytest.raises(SandboxException):
        shared.files.write(path, "x")


@pytest.mark.parametrize("path", ["/proc/self/environ", "/sys/kernel", "/dev/null", "a\0b"])
def test_what_may_not_be_read(shared: Sandbox, path: str) -> None:
    with pytest.raises((SandboxException, ValueError)):
        shared.files.read(path)


def test_nothing_of_the_host_is_read(shared: Sandbox) -> None:
    shared.commands.run("ln -sf /etc/hostname h; ln -sfn / r; ln -sfn /proc/1/root p")
    for path in ("h", "r/etc/shadow", "/etc/shadow", "/root/.ssh", "p/etc/shadow", "../../../x"):
        with pytest.raises((FileNotFoundException, SandboxException)):
            shared.files.read(path)


def test_metadata_of_files_is_not_served(shared: Sandbox) -> None:
    with pytest.raises(SandboxException, match="metadata of files is not implemented"):
        shared.files.write("m", "x", metadata={"a": "b"})


def test_addresses_of_files_work_for_who_has_them(service: Service, shared: Sandbox) -> None:
    shared.files.write("for you.txt", "download")
    url = shared.download_url("for you.txt")
    assert httpx.get(url, trust_env=False).text == "download"
    later = shared.download_url("for you.txt", use_signature_expiration=60)
    assert httpx.get(later, trust_env=False).text == "download"
    over = shared.download_url("for you.txt", use_signature_expiration=-5)
    assert httpx.get(over, trust_env=False).status_code == 401
    assert httpx.get(url.replace("for%20you", "other"), trust_env=False).status_code == 401
    assert httpx.post(url, files={"file": b"x"}, trust_env=False).status_code == 401
    up = shared.upload_url("sent.txt")
    assert httpx.post(up, files={"file": b"upload"}, trust_env=False).status_code == 200
    assert shared.files.read("sent.txt") == "upload"


def test_watching(shared: Sandbox) -> None:
    shared.files.make_dir("watched")
    watch = shared.files.watch_dir("watched")
    shared.files.write("watched/new.txt", "x")
    shared.commands.run("cd watched; chmod 600 new.txt; mv new.txt other; rm other")
    seen = _until(watch, ("other", REMOVE))
    assert seen == [
        ("new.txt", CREATE),
        ("new.txt", WRITE),
        ("new.txt", CHMOD),
        ("new.txt", RENAME),
        ("other", CREATE),
        ("other", REMOVE),
    ]
    watch.stop()
    with pytest.raises(SandboxException):
        watch.get_new_events()


def test_watching_below(shared: Sandbox) -> None:
    shared.files.make_dir("deep/er")
    watch = shared.files.watch_dir("deep", recursive=True, include_entry=True)
    shared.files.write("deep/er/new/file", "x")
    seen = []
    deadline = time.monotonic() + 10
    while ("er/new/file", WRITE) not in [(event.name, event.type) for event in seen]:
        assert time.monotonic() < deadline
        seen += watch.get_new_events()
    [written] = [event for event in seen if (event.name, event.type) == ("er/new/file", WRITE)]
    assert written.entry.path == "/home/user/deep/er/new/file"
    watch.stop()


def _until(watch: object, last: tuple[str, FilesystemEventType]) -> list[object]:
    seen: list[object] = []
    deadline = time.monotonic() + 10
    while last not in seen:
        assert time.monotonic() < deadline, seen
        seen += [(event.name, event.type) for event in watch.get_new_events()]
    return seen


async def test_watching_in_the_async_half(aio: AsyncSandbox) -> None:
    await aio.files.make_dir("aw")
    seen: list[tuple[str, FilesystemEventType]] = []
    over: list[object] = []
    watch = await aio.files.watch_dir(
        "aw", on_event=lambda event: seen.append((event.name, event.type)), on_exit=over.append
    )
    await aio.files.write("aw/x", "1")
    async with asyncio.timeout(10):
        while ("x", WRITE) not in seen:
            await asyncio.sleep(0.02)
    await watch.stop()
    assert over == [None]


async def test_a_watch_ends_with_its_time(aio: AsyncSandbox) -> None:
    over: list[object] = []
    await aio.files.watch_dir(".", on_event=lambda _: None, on_exit=over.append, timeout=1)
    async with asyncio.timeout(10):
        while not over:
            await asyncio.sleep(0.05)
    assert type(over[0]).__name__ == "TimeoutException"


async def test_the_async_half(aio: AsyncSandbox) -> None:
    async def parts():
        yield b"by "
        yield b"parts"

    await aio.files.write("async.txt", parts())
    assert await aio.files.read("async.txt") == "by parts"
    stream = await aio.files.read("async.txt", format="stream")
    assert b"".join([part async for part in stream]) == b"by parts"
    names = [entry.name for entry in await aio.files.list("/home/user")]
    assert "async.txt" in names


@pytest.mark.slow
def test_a_full_disk(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        running(tmp_path_factory.mktemp("small"), disk_mb=16, upload_mb=32) as service,
        Sandbox.create(**service.options) as sandbox,
    ):
        with pytest.raises(NotEnoughSpaceException):
            sandbox.files.write("big", b"x" * (17 << 20))
        with pytest.raises(SandboxException, match="413"):
            sandbox.files.write("bigger", b"x" * (33 << 20))
        bomb = b"\0" * (200 << 20)
        with pytest.raises(SandboxException, match="413"):
            sandbox.files.write("bomb", bomb, gzip=True)
        sandbox.files.write("small", "x")
