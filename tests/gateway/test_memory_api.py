"""What is remembered, by the page's API: one's own, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from codin.config import MemorySettings, SecuritySettings, ServerSettings, Settings
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.gateway.serving import serve
from codin.memory import Chunk, MemoryMessage
from codin.model import parse
from codin.security import KeyRequest, Principal, Scope

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
OWNER = Principal("acme", "olga", frozenset({"owner"}))


class Place:
    """A platform, and callers of its API."""

    def __init__(self, platform: Platform, url: str, keys: dict[str, str]) -> None:
        self.platform, self.url, self.keys = platform, url, keys

    async def ask(
        self, who: str, path: str = "", status: int = 200, body: Any = None, **query: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.keys[who]}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as http:
            url = f"/api/memory{path}"
            answer = await (http.post(url, json=body) if body else http.get(url, params=query))
        assert answer.status_code == status, answer.text
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    settings = Settings(
        home=tmp_path_factory.mktemp("memory") / "home",
        server=ServerSettings(port=0),
        security=SecuritySettings(auth=True),
        memory=MemorySettings(embedder="hashing"),
    )
    async with (
        open_platform(settings, NO_MODEL) as platform,
        serve(platform.parts(), settings.server, guarded=True) as found,
    ):
        keys = {}
        for name, role, *scopes in [
            ("ann", "owner"),
            ("bob", "owner"),
            ("vic", "viewer"),
            ("rea", "owner", "memory.read*"),
        ]:
            asked = KeyRequest(name, frozenset({role}), frozenset(scopes))
            keys[name] = (await platform.trust.store.keys.add(OWNER, asked))[1]
        for name in ("ann", "bob", "rea"):
            scope = Scope("acme", name, "cook", "s1")
            await platform.memory.history.append(scope, MemoryMessage("user", f"I am {name}."))
            await platform.memory.notes.put(scope, "diet", f"of {name}")
            await platform.memory.chunks.upsert(
                scope, Chunk(f"{name} likes peanuts", f"c-{name}", {"page": 1})
            )
        yield Place(platform, found.url, keys)


async def test_each_sees_their_own(place: Place) -> None:
    assert (await place.ask("ann")).json() == {"messages": 1, "notes": 1, "chunks": 1}
    assert (await place.ask("ann", agent="other")).json()["chunks"] == 0
    found = (await place.ask("ann", "/entries")).json()["entries"]
    assert {entry["user"] for entry in found} == {"ann"}
    assert [entry["kind"] for entry in found] == ["chunk", "note", "message"]
    found = (await place.ask("bob", "/entries", kind="note", limit=1)).json()["entries"]
    assert [entry["value"] for entry in found] == ["of bob"]
    exported = await place.ask("ann", "/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [entry["kind"] for entry in lines] == ["message", "note", "chunk"]


async def test_a_search_finds_ones_own(place: Place) -> None:
    [found] = (await place.ask("ann", "/search", query="peanuts")).json()["chunks"]
    assert (found["id"], found["metadata"], found["agent"]) == ("c-ann", {"page": 1}, "cook")
    # By parts of words it is near; as a word it is not there.
    assert (await place.ask("ann", "/search", query="peanutty")).json()["chunks"]
    by_words = await place.ask("ann", "/search", query="peanutty", mode="text")
    assert by_words.json() == {"chunks": []}
    assert (await place.ask("ann", "/search", query=" ")).json() == {"chunks": []}


async def test_what_may_not_be_is_refused(place: Place) -> None:
    for path in ("", "/entries", "/search", "/export"):
        await place.ask("vic", path, 403)
    await place.ask("rea", "/forget", 403, {"everything": True})
    assert (await place.ask("rea")).json()["chunks"] == 1
    for wrong in (
        {},
        {"everything": False, "agent": ""},
        {"user": "bob"},
        {"agent": 1},
        {"agent": "a\0"},
    ):
        await place.ask("ann", "/forget", 400, wrong or {"session": ""})
    for name, value in (("limit", "1001"), ("kind", "task"), ("agent", "a\0")):
        await place.ask("ann", "/entries", 400, **{name: value})


async def test_what_is_forgotten_is_gone_and_written_down(place: Place) -> None:
    gone = {"messages": 1, "notes": 1, "chunks": 1}
    nothing = dict.fromkeys(gone, 0)
    assert (await place.ask("bob", "/forget", body={"agent": "other"})).json() == nothing
    assert (await place.ask("bob", "/forget", body={"everything": True})).json() == gone
    assert (await place.ask("bob")).json() == nothing
    assert (await place.ask("ann")).json() == gone
    records = await place.platform.trust.store.audit.list(OWNER, limit=100)
    written = [one for one in records if one.entry.action == "memory.write" and one.entry.allowed]
    assert {(one.subject, one.entry.resource) for one in written} == {("bob", "forget")}
