"""Checks of sandboxes: files, their own life, and what cannot be reached."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import anyio
import pytest

from codin.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import (
    PermissionDenied,
    SandboxFileNotFound,
    SandboxGone,
    SandboxUnavailable,
)
from codin.sandbox.filesystem import ChangeKind, FileChange
from codin.testing._sandbox_base import SOON, SandboxBase, until_change


class FileConformance(SandboxBase):
    """``Sandbox.fs``."""

    async def test_write_and_read(self, sandbox: Sandbox) -> None:
        data = bytes(range(256)) * 5000
        await sandbox.fs.write("a/b/c.bin", data)
        assert await sandbox.fs.read("/workspace/a/b/c.bin") == data
        assert await sandbox.fs.read("a/b/c.bin", max_bytes=10) == data[:10]

    async def test_writing_replaces(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("a", b"longer text")
        await sandbox.fs.write("a", b"short")
        assert await sandbox.fs.read("a") == b"short"
        assert [info.path for info in await sandbox.fs.list()] == ["/workspace/a"]

    async def test_files_are_the_same_inside(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("in.txt", b"from outside")
        result = await sandbox.exec(["sh", "-c", "cat in.txt; echo inside > out.txt; rm in.txt"])
        assert (result.exit_code, result.stdout) == (0, b"from outside")
        assert await sandbox.fs.read("out.txt") == b"inside\n"
        with pytest.raises(SandboxFileNotFound):
            await sandbox.fs.read("in.txt")

    async def test_list_and_stat(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("d/e/f.txt", b"12345")
        (folder,) = await sandbox.fs.list()
        assert (folder.path, folder.is_dir) == ("/workspace/d", True)
        everything = await sandbox.fs.list(recursive=True)
        names = [info.path.removeprefix("/workspace/") for info in everything]
        assert names == ["d", "d/e", "d/e/f.txt"]
        info = await sandbox.fs.stat("d/e/f.txt")
        assert (info.size, info.is_dir) == (5, False)
        assert abs(info.modified - time.time()) < 60

    async def test_remove(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("d/e", b"")
        await sandbox.fs.write("f", b"")
        await sandbox.fs.remove("d")
        await sandbox.fs.remove("f")
        assert await sandbox.fs.list() == []

    async def test_move(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("a", b"x")
        await sandbox.fs.move("a", "new/b")
        assert await sandbox.fs.read("new/b") == b"x"

    async def test_upload_and_download(self, sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "up").write_bytes(b"carried")
        await sandbox.fs.upload(tmp_path / "up", "there")
        await sandbox.fs.download("there", tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == b"carried"

    async def test_make_dir(self, sandbox: Sandbox) -> None:
        assert await sandbox.fs.make_dir("a/b/c") is True
        assert await sandbox.fs.make_dir("a/b/c") is False
        assert (await sandbox.exec(["test", "-d", "a/b/c"])).exit_code == 0
        await sandbox.fs.write("file", b"x")
        for path in ("file", "file/below", "/usr/new", "../../new"):
            with pytest.raises((PermissionDenied, SandboxFileNotFound)):
                await sandbox.fs.make_dir(path)

    async def test_writing_keeps_the_permissions_of_a_file(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("run", b"#!/bin/sh\necho one")
        await sandbox.exec(["chmod", "750", "run"])
        await sandbox.fs.write("run", b"#!/bin/sh\necho two")
        assert (await sandbox.fs.stat("run")).mode == 0o750
        assert (await sandbox.exec(["./run"])).stdout == b"two\n"

    async def test_a_link_says_where_it_points(self, sandbox: Sandbox) -> None:
        await sandbox.exec(["ln", "-s", "/nowhere/at all", "link"])
        listed = await sandbox.fs.list()
        found = await sandbox.fs.stat("link", follow=False)
        assert listed == [found]
        assert (found.path, found.link) == ("/workspace/link", "/nowhere/at all")
        with pytest.raises((PermissionDenied, SandboxFileNotFound)):
            await sandbox.fs.stat("link")

    @pytest.mark.parametrize("verb", ["read", "stat", "remove", "list"])
    async def test_missing(self, sandbox: Sandbox, verb: str) -> None:
        with pytest.raises(SandboxFileNotFound, match="nothing"):
            await getattr(sandbox.fs, verb)("nothing")

    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "../x", "a/../../x", "/workspace/../etc/passwd", "", "a\0b", "/"]
    )
    async def test_outside(self, sandbox: Sandbox, path: str) -> None:
        for verb in (sandbox.fs.read, sandbox.fs.stat, sandbox.fs.remove, sandbox.fs.list):
            with pytest.raises(PermissionDenied):
                await verb(path)
        with pytest.raises(PermissionDenied):
            await sandbox.fs.write(path, b"x")

    async def test_links_to_outside(self, sandbox: Sandbox) -> None:
        links = "ln -s /etc/passwd p; ln -s ../../etc d; ln -s / r; ln -s /proc/self/root q"
        await sandbox.exec(["sh", "-c", links])
        for path in ("p", "d/passwd", "r/etc/passwd", "q/etc/passwd"):
            with pytest.raises(PermissionDenied):
                await sandbox.fs.read(path)
            with pytest.raises(PermissionDenied):
                await sandbox.fs.write(path, b"x")
        await sandbox.fs.remove("p")
        assert (await sandbox.exec(["test", "-e", "/etc/passwd"])).exit_code == 0

    async def test_links_inside(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("real/file", b"data")
        await sandbox.exec(["sh", "-c", "ln -s real r; ln -s /workspace/real/file f; ln -s x x"])
        assert await sandbox.fs.read("r/file") == b"data"
        assert await sandbox.fs.read("f") == b"data"
        with pytest.raises(PermissionDenied):
            await sandbox.fs.read("x")

    async def test_what_is_not_a_regular_file(self, sandbox: Sandbox) -> None:
        await sandbox.exec(["sh", "-c", "mkfifo pipe; mkdir folder"])
        for path in ("pipe", "folder"):
            with pytest.raises(PermissionDenied):
                await asyncio.wait_for(sandbox.fs.read(path), SOON)

    async def test_a_mount_is_shown_and_read_only(
        self, provider: SandboxProvider, tmp_path: Path
    ) -> None:
        from codin.sandbox.base import Mount

        (tmp_path / "in").write_text("shown")
        os.chmod(tmp_path, 0o755)  # noqa: S103 - a container has another user's rights
        spec = SandboxSpec(mounts=(Mount(tmp_path, "/workspace/data"), Mount(tmp_path, "/data")))
        async with await provider.create(spec) as sandbox:
            for folder in ("data", "/data"):
                assert await sandbox.fs.read(f"{folder}/in") == b"shown"
                result = await sandbox.exec(["sh", "-c", f"cat {folder}/in; echo > {folder}/new"])
                assert result.stdout == b"shown"
                assert result.exit_code != 0
                with pytest.raises(PermissionDenied):
                    await sandbox.fs.write(f"{folder}/in", b"x")
        assert not (tmp_path / "new").exists()


class WatchConformance(SandboxBase):
    """``Sandbox.fs.watch``."""

    async def test_what_commands_do_is_seen(self, sandbox: Sandbox) -> None:
        await sandbox.fs.write("d/old", b"x")
        await sandbox.fs.write("d/gone", b"x")
        async with sandbox.fs.watch("d") as changes:
            script = "echo a > new; chmod 600 new; mv old moved; rm gone; echo x > ../elsewhere"
            await sandbox.exec(["sh", "-c", script], cwd="d")
            seen = await until_change(changes, FileChange("/workspace/d/gone", ChangeKind.REMOVED))
        assert seen == [
            FileChange("/workspace/d/new", ChangeKind.CREATED),
            FileChange("/workspace/d/new", ChangeKind.MODIFIED),
            FileChange("/workspace/d/new", ChangeKind.ATTRIBUTES),
            FileChange("/workspace/d/old", ChangeKind.MOVED),
            FileChange("/workspace/d/moved", ChangeKind.CREATED),
            FileChange("/workspace/d/gone", ChangeKind.REMOVED),
        ]

    async def test_what_is_written_from_outside_is_seen_as_it_looks(self, sandbox: Sandbox) -> None:
        async with sandbox.fs.watch() as changes:
            await sandbox.fs.write("file", b"one")
            await sandbox.fs.write("file", b"two")
            await sandbox.fs.remove("file")
            seen = await until_change(changes, FileChange("/workspace/file", ChangeKind.REMOVED))
        kinds = [change.kind for change in seen if change.path == "/workspace/file"]
        assert kinds[0] == ChangeKind.CREATED
        assert kinds.count(ChangeKind.MODIFIED) in {1, 2}
        assert {change.path for change in seen} == {"/workspace/file"}

    async def test_folders_below_are_seen_when_asked_for(self, sandbox: Sandbox) -> None:
        await sandbox.fs.make_dir("d/e")
        async with sandbox.fs.watch("d", recursive=True) as changes, sandbox.fs.watch() as flat:
            script = "echo > d/e/1; mkdir -p d/f/g; echo > d/f/g/2; mv d/f d/h; echo > d/h/g/3"
            await sandbox.exec(["sh", "-c", script])
            last = FileChange("/workspace/d/h/g/3", ChangeKind.CREATED)
            seen = await until_change(changes, last)
            await sandbox.fs.write("end", b"")
            above = await until_change(flat, FileChange("/workspace/end", ChangeKind.CREATED))
        created = [change.path for change in seen if change.kind == ChangeKind.CREATED]
        assert {"/workspace/d/e/1", "/workspace/d/f", "/workspace/d/h"} <= set(created)
        assert len(created) == len(set(created))
        assert {change.path for change in above} <= {"/workspace/d", "/workspace/end"}

    async def test_what_no_folder_is_cannot_be_watched(self, sandbox: Sandbox) -> None:
        await sandbox.exec(["sh", "-c", "echo > file; ln -s /proc out; ln -s / root"])
        for path, kind in {
            "file": PermissionDenied,
            "nothing": SandboxFileNotFound,
            "/proc": PermissionDenied,
            "out": PermissionDenied,
            "root/proc": PermissionDenied,
        }.items():
            with pytest.raises((kind, SandboxFileNotFound)):
                async with sandbox.fs.watch(path, recursive=True):
                    pass

    async def test_links_are_not_followed_by_a_watch(
        self, provider: SandboxProvider, tmp_path: Path
    ) -> None:
        (tmp_path / "outside").mkdir()
        spec = SandboxSpec(workspace=tmp_path / "w")
        async with await provider.create(spec) as sandbox:
            async with sandbox.fs.watch(recursive=True) as changes:
                (tmp_path / "w" / "link").symlink_to(tmp_path / "outside")
                (tmp_path / "outside" / "secret").write_text("x")
                await sandbox.fs.write("end", b"")
                seen = await until_change(changes, FileChange("/workspace/end", ChangeKind.CREATED))
            assert {change.path for change in seen} == {"/workspace/link", "/workspace/end"}

    async def test_a_watch_ends_with_its_folder(self, sandbox: Sandbox) -> None:
        await sandbox.fs.make_dir("d")
        async with sandbox.fs.watch("d", recursive=True) as changes:
            await sandbox.fs.remove("d")
            async with asyncio.timeout(SOON):
                seen = [change async for change in changes]
        assert seen[-1] == FileChange("/workspace/d", ChangeKind.REMOVED)

    async def test_a_watch_ends_with_its_sandbox(
        self, provider: SandboxProvider, tmp_path: Path
    ) -> None:
        sandbox = await provider.create(SandboxSpec(workspace=tmp_path / "w"))
        async with sandbox.fs.watch() as changes:
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.05)
            await sandbox.kill()
            with pytest.raises(SandboxGone):
                await asyncio.wait_for(waiting, SOON)

    async def test_too_much_is_told(self, sandbox: Sandbox) -> None:
        kept = anyio.Path("/proc/sys/fs/inotify/max_queued_events")
        most = int(await kept.read_text())
        code = f"for i in range({most // 2 + 1000}): open(str(i), 'w').close(); os.unlink(str(i))"
        async with sandbox.fs.watch() as changes:
            assert (await sandbox.run_code(f"import os\n{code}")).error is None
            lost = FileChange("/workspace", ChangeKind.LOST)
            assert len(await until_change(changes, lost)) < 2 * most

    async def test_who_stops_waiting_misses_nothing(self, sandbox: Sandbox) -> None:
        async with sandbox.fs.watch() as changes:
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(changes), 0.02)
            await sandbox.fs.write("file", b"")
            async with asyncio.timeout(SOON):
                assert await anext(changes) == FileChange("/workspace/file", ChangeKind.CREATED)


class LifeConformance(SandboxBase):
    """The sandbox's own life."""

    hundred_seconds: ClassVar[float] = 6 * SOON
    """Within which a hundred sandboxes have to be there, used and gone."""

    async def test_nothing_works_after_its_end(self, provider: SandboxProvider) -> None:
        sandbox = await provider.create(SandboxSpec())
        worker = await sandbox.worker()
        await sandbox.run_code("1")
        await sandbox.kill()
        await sandbox.kill()
        for call in (
            sandbox.exec(["true"]),
            sandbox.start(["true"]),
            sandbox.run_code("1"),
            sandbox.worker(),
            sandbox.fs.read("x"),
            sandbox.fs.write("x", b""),
            worker.run_code("1"),
        ):
            with pytest.raises(SandboxGone):
                await call

    async def test_its_end_ends_what_runs(self, provider: SandboxProvider) -> None:
        sandbox = await provider.create(SandboxSpec())
        tasks = [
            asyncio.create_task(sandbox.exec(["sleep", "60"])),
            asyncio.create_task(sandbox.run_code("import time; time.sleep(60)")),
        ]
        await asyncio.sleep(0.3)
        await asyncio.wait_for(sandbox.kill(), SOON)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, SandboxGone)

    async def test_a_given_workspace_stays(self, provider: SandboxProvider, tmp_path: Path) -> None:
        async with await provider.create(SandboxSpec(workspace=tmp_path / "w")) as sandbox:
            await sandbox.fs.write("kept", b"x")
        assert (tmp_path / "w" / "kept").read_bytes() == b"x"

    async def test_sandboxes_do_not_see_each_other(self, provider: SandboxProvider) -> None:
        async with (
            await provider.create(SandboxSpec()) as one,
            await provider.create(SandboxSpec()) as two,
        ):
            assert one.id != two.id
            name = f"secret-of-{one.id}"
            await one.fs.write(name, b"of one")
            places = "/workspace /tmp /run /var /home /root"
            found = await two.exec(["sh", "-c", f"find {places} -name {name} 2>/dev/null"])
            assert found.stdout == b""

    async def test_a_hundred_at_once(self, provider: SandboxProvider) -> None:
        async def one(number: int) -> bytes:
            async with await provider.create(SandboxSpec()) as sandbox:
                await sandbox.fs.write("number", str(number).encode())
                first = (await sandbox.exec(["cat", "number"])).stdout
                await together.wait()
                assert (await sandbox.exec(["cat", "number"])).stdout == first
                return first

        together = asyncio.Barrier(100)
        async with asyncio.timeout(self.hundred_seconds):
            found = await asyncio.gather(*(one(number) for number in range(100)))
        assert found == [str(number).encode() for number in range(100)]

    async def test_the_environment_of_the_spec(self, provider: SandboxProvider) -> None:
        async with await provider.create(SandboxSpec(env={"A": "1", "B": "2"})) as sandbox:
            result = await sandbox.exec(["sh", "-c", "echo $A$B"], env={"B": "3"})
            assert result.stdout == b"13\n"

    async def test_less_isolation_than_asked_for_is_refused(
        self, provider: SandboxProvider
    ) -> None:
        from codin.sandbox.base import Isolation

        order = list(Isolation)
        given = (await provider.probe()).isolation
        for more in order[order.index(given) + 1 :]:
            refused = ""
            try:
                async with await provider.create(replace(SandboxSpec(), least=more)) as sandbox:
                    assert order.index(sandbox.isolation) >= order.index(more)
            except SandboxUnavailable as error:
                refused = str(error)
            assert refused == "" or more.value in refused


class IsolationConformance(SandboxBase):
    """What code inside cannot reach."""

    async def test_it_is_not_root(self, sandbox: Sandbox) -> None:
        assert int((await sandbox.exec(["id", "-u"])).stdout) != 0

    async def test_there_is_no_network(self, sandbox: Sandbox) -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        code = "import socket; socket.create_connection((%r, %d), timeout=2)"
        async with server:
            for host, number in (("127.0.0.1", port), ("192.0.2.1", 80)):
                result = await sandbox.run_code(code % (host, number))
                assert "Error" in (result.error or "")

    @pytest.mark.parametrize("path", ["/etc/shadow", "/root/.ssh", "/var/log", "/sys"])
    async def test_files_of_the_host(self, sandbox: Sandbox, path: str) -> None:
        result = await sandbox.exec(["sh", "-c", f"cat {path} || ls {path}/*"])
        assert (result.exit_code != 0, result.stdout) == (True, b"")

    @pytest.mark.parametrize(
        "path", ["/usr/x", "/etc/x", "/x", "/dev/x", "/proc/sys/kernel/core_pattern"]
    )
    async def test_the_system_is_read_only(self, sandbox: Sandbox, path: str) -> None:
        assert (await sandbox.exec(["sh", "-c", f"echo x >> {path}"])).exit_code != 0

    async def test_processes_of_the_host(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["sh", "-c", "ls /proc | grep -c '^[0-9]'"])
        assert int(result.stdout) < 10

    async def test_no_new_user_namespace(self, sandbox: Sandbox) -> None:
        code = "import ctypes; ctypes.CDLL(None).unshare(0x10000000)"
        assert (await sandbox.run_code(code)).value == "-1"

    async def test_no_capabilities(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["grep", "CapEff", "/proc/self/status"])
        assert int(result.stdout.split()[1], 16) == 0
