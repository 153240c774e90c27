"""What hosts print is kept, within bounds, and found by the ids of their agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codin.agent.host import journal
from codin.agent.host.journal import Journal, before, read
from codin.runtime._lines import Lines
from codin.runtime.base import Deployment, Health


class Printing(Deployment):
    """A deployment that prints what a test has it print."""

    def __init__(self) -> None:
        self.lines = Lines()

    def logs(self, *, follow: bool = False) -> AsyncIterator[str]:
        return self.lines.read(follow=follow)

    @property
    def ended(self) -> bool:
        return False

    async def health(self) -> Health:
        return "healthy"

    async def stop(self) -> None:
        self.lines.end()


def texts(folder: Path, name: str, count: int = 100) -> list[str]:
    """The lines without their times."""
    return [line.partition(" ")[2] for line in read(folder, name, count) or ()]


async def test_all_lines_are_kept_also_of_hosts_that_come_after(tmp_path: Path) -> None:
    kept = Journal(tmp_path, "writer")
    for word in ("one", "two"):
        host = Printing()
        kept.follow(host, ["writer", "editor"])
        host.lines.add("stdout", f"{word}\n".encode())
        await asyncio.sleep(0.3)
        host.lines.add("stdout", f"{word} again\nwithout an end".encode())
        await host.stop()
    await kept.close()
    started = "codin: the host was started"
    assert texts(tmp_path, "writer") == [
        *(started, "one", "one again", "without an end"),
        *(started, "two", "two again", "without an end"),
    ]
    assert texts(tmp_path, "editor", 2) == ["two again", "without an end"]
    assert read(tmp_path, "nobody", 1) is None


async def test_an_agent_that_moves_to_another_host_is_found_there(tmp_path: Path) -> None:
    for name in ("writer", "writer-2"):
        kept, host = Journal(tmp_path, name), Printing()
        kept.follow(host, ["writer"])
        host.lines.add("stdout", f"I am {name}\n".encode())
        await host.stop()
        await kept.close()
    assert texts(tmp_path, "writer", 1) == ["I am writer-2"]
    assert texts(tmp_path, "writer-2", 1) == ["I am writer-2"]


async def test_a_flood_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", 10_000)
    kept, host = Journal(tmp_path, "loud"), Printing()
    kept.follow(host, ["loud"])
    for number in range(200):
        host.lines.add("stdout", f"{number} {'x' * 500}\n".encode())
        await asyncio.sleep(0.005)
    await host.stop()
    await kept.close()
    file = tmp_path / "hosts" / "loud.log"
    assert texts(tmp_path, "loud", 1)[0].startswith("199 ")
    assert before(file).is_file()
    assert len(list((tmp_path / "hosts").iterdir())) == 2
    assert file.stat().st_size + before(file).stat().st_size < 200_000
