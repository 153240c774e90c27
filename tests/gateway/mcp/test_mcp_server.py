"""The tools at ``/mcp``, by the reference client, in both revisions of the protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from mcp_place import OWNER, REVISIONS, Numbered, Place, key_of, listed, served, settings

from codin.config import PolicySettings
from codin.security import LOCAL_USER

pytestmark = pytest.mark.slow


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with served(settings(tmp_path)) as place:
        yield place


@pytest.mark.parametrize("revision", REVISIONS)
async def test_tools_are_listed_and_called(place: Place, revision: str) -> None:
    async with place.client(revision) as client:
        assert client.protocol_version == revision
        shown = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"add", "fail", "slow", "run_python", "read_file"} <= shown.keys()
        add = shown["add"]
        assert (add.description, add.input_schema["required"]) == ("Add two numbers.", ["a", "b"])
        assert add.annotations is not None
        assert (add.annotations.read_only_hint, add.annotations.idempotent_hint) == (True, True)
        assert shown["slow"].annotations is not None
        assert shown["slow"].annotations.idempotent_hint is False
        answer: Any = await client.call_tool("add", {"a": 1, "b": "2"})
        assert (answer.structured_content, answer.is_error) == ({"sum": 3}, False)
        assert answer.content[0].text == '{"sum": 3}'


async def test_the_policies_of_the_platform_are_those_of_its_clients(tmp_path: Path) -> None:
    rule = PolicySettings(tool="add", effect="allow", argument="a", max=10)
    given = settings(tmp_path).model_copy(update={"policies": (rule,)})
    async with served(given) as place, place.client(REVISIONS[0]) as client:
        allowed: Any = await client.call_tool("add", {"a": 10, "b": 1})
        assert allowed.structured_content == {"sum": 11}
        refused: Any = await client.call_tool("add", {"a": 11, "b": 1})
        assert refused.is_error
        assert "'a' is 11; what is allowed is a value at most 10" in refused.content[0].text


@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_goes_wrong_is_told(place: Place, revision: str) -> None:
    async with place.client(revision) as client:
        failed: Any = await client.call_tool("fail", {})
        assert failed.is_error
        assert "ValueError: as it should" in failed.content[0].text
        wrong: Any = await client.call_tool("add", {"a": 1})
        assert wrong.is_error
        assert "argument 'b' is missing" in wrong.content[0].text
        with pytest.raises(MCPError, match=r"there is no tool 'ad'\. Did you mean 'add'"):
            await client.call_tool("ad", {})


@pytest.mark.parametrize("revision", REVISIONS)
async def test_output_is_told_as_progress(place: Place, revision: str) -> None:
    told: list[str | None] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with place.client(revision) as client:
        answer: Any = await client.call_tool("slow", {"seconds": 1}, progress_callback=progress)
    assert answer.content[0].text == "done"
    assert "tick 0" in "".join(message or "" for message in told)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_client_that_gives_up_ends_the_call(place: Place, revision: str) -> None:
    began = time.monotonic()
    async with place.client(revision) as client:
        calling = asyncio.ensure_future(client.call_tool("slow", {"seconds": 30}))
        await asyncio.sleep(1)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        again: Any = await client.call_tool("add", {"a": 2, "b": 2})
        assert again.structured_content == {"sum": 4}
    assert time.monotonic() - began < 15


async def test_variables_and_files_stay_between_calls(place: Place) -> None:
    async with place.client(REVISIONS[0]) as client:
        await client.call_tool("run_python", {"code": "x = 41; open('a.txt', 'w').write('hello')"})
        found: Any = await client.call_tool("run_python", {"code": "print(x + 1)"})
        assert "42" in found.content[0].text
        read: Any = await client.call_tool("read_file", {"path": "a.txt"})
        assert "hello" in read.content[0].text


async def test_a_principal_has_its_own_tools_and_its_own_files(tmp_path: Path) -> None:
    async with served(settings(tmp_path, auth=True)) as place:
        keys = {
            name: await key_of(place, name, *scopes)
            for name, *scopes in [
                ("ann", "tool.call:*"),
                ("bob", "tool.call:add"),
                ("eve", "task.*"),
            ]
        }
        async with place.client(REVISIONS[0], keys["ann"]) as ann:
            await ann.call_tool("run_python", {"code": "open('mine.txt', 'w').write('ann')"})
            assert len((await ann.list_tools()).tools) > 3
        async with place.client(REVISIONS[1], keys["bob"]) as bob:
            assert [tool.name for tool in (await bob.list_tools()).tools] == ["add"]
            with pytest.raises(
                MCPError, match=r"there is no tool 'run_python'\. The tools are: add"
            ):
                await bob.call_tool("run_python", {"code": "1"})
        async with place.client(REVISIONS[0], keys["eve"]) as eve:
            assert (await eve.list_tools()).tools == []
        async with httpx2.AsyncClient() as http:
            answer = await http.post(place.url, json={})
            assert answer.status_code == 401
        records = await place.platform.trust.store.audit.list(OWNER)
        written = [(one.subject, one.entry.action, one.entry.allowed) for one in records]
        assert ("ann", "tool.call:run_python", True) in written
        assert ("bob", "tool.call:run_python", False) in written
        assert not [
            file
            for file in (tmp_path / "home" / "workspaces").rglob("mine.txt")
            if "bob" in str(file)
        ]


async def test_a_foreign_page_is_refused(place: Place) -> None:
    async with httpx2.AsyncClient() as http:
        evil = {"origin": "http://evil.example"}
        assert (await http.post(place.url, json={}, headers=evil)).status_code == 403
        named = {"host": "evil.example"}
        assert (await http.post(place.url, json={}, headers=named)).status_code == 403


async def test_many_tools_come_in_pages(place: Place) -> None:
    for number in range(450):
        place.platform.tools.register(Numbered(f"n{number:04}"))
    async with place.client(REVISIONS[0]) as client:
        names = await listed(client)
    assert names == [tool.spec.name for tool in place.platform.tools.list(LOCAL_USER)]
