"""Many tools at ``/mcp``: they are found, described and called, by whoever may call them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_place import OWNER, REVISIONS, Numbered, Place, key_of, listed, served, settings

from codin.tool.registry import FINDING

pytestmark = pytest.mark.slow

MANY = 1_200


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A platform with an API of many operations, whose callers have to say who they are."""
    async with served(settings(tmp_path, auth=True)) as place:
        tools = [Numbered(f"shop_order_{number:04}") for number in range(MANY)]
        tools += [Numbered("shop_refund"), Numbered("shop_secret_audit")]
        assert place.platform.tools.replace("shop", tools) == ()
        yield place


async def audited(place: Place) -> list[tuple[str, str, bool]]:
    records = await place.platform.trust.store.audit.list(OWNER)
    calls = [one for one in records if one.entry.action.startswith("tool.call:")]
    return [(one.subject, one.entry.action, one.entry.allowed) for one in reversed(calls)]


def data(answer: Any) -> Any:
    assert not answer.is_error, answer.content
    return answer.structured_content or json.loads(answer.content[0].text)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_many_tools_are_found_and_called(place: Place, revision: str) -> None:
    key = await key_of(place, "ann", "tool.call:*")
    async with place.client(revision, key) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(FINDING) | {"add", "run_python"} <= tools.keys()
        assert not [name for name in tools if name.startswith("shop_")]
        assert "shop (1,202)" in (tools["find_tools"].description or "")
        hints = {name: tools[name].annotations for name in FINDING}
        assert [bool(hint and hint.read_only_hint) for hint in hints.values()] == [
            True,
            True,
            False,
        ], "a client that lets through what only reads must not let through all calls"
        found = data(await client.call_tool("find_tools", {"query": "refund"}))
        assert found[0]["name"] == "shop_refund"
        about = data(await client.call_tool("describe_tool", {"name": "shop_refund"}))
        assert about["description"] == "Does shop_refund."
        asked = {"name": "shop_refund", "arguments": {"id": 7}}
        assert data(await client.call_tool("call_tool", asked)) == {
            "called": "shop_refund",
            "id": 7,
        }
        direct = await client.call_tool("shop_order_0007", {"id": 8})
        assert data(direct) == {"called": "shop_order_0007", "id": 8}
    assert await audited(place) == [
        ("ann", "tool.call:find_tools", True),
        ("ann", "tool.call:describe_tool", True),
        ("ann", "tool.call:shop_refund", True),
        ("ann", "tool.call:shop_order_0007", True),
    ]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_who_may_not_neither_finds_nor_calls(place: Place, revision: str) -> None:
    key = await key_of(place, "bob", "tool.call:shop_order_*", "tool.call:add")
    async with place.client(revision, key) as client:
        assert await listed(client) == ["add", *sorted(FINDING)]
        for query in ("secret audit", "shop_secret_audit"):
            found = await client.call_tool("find_tools", {"query": query, "most": 25})
            assert "shop_secret_audit" not in str(found.content)
        for name, arguments in [
            ("describe_tool", {"name": "shop_secret_audit"}),
            ("call_tool", {"name": "shop_secret_audit"}),
            ("shop_secret_audit", {"x": 1}),
            ("run_python", {"code": "1"}),
        ]:
            with pytest.raises(MCPError) as refused:
                await client.call_tool(name, arguments)
            named = arguments.get("name", name)
            assert f"there is no tool '{named}'" in str(refused.value)
            assert "Look for others with find_tools" in str(refused.value)
        with pytest.raises(MCPError, match="there is no tool 'shop_nothing'"):
            await client.call_tool("call_tool", {"name": "shop_nothing"})
    refused_calls = [one for one in await audited(place) if not one[2]]
    assert refused_calls == [
        ("bob", "tool.call:shop_secret_audit", False),
        ("bob", "tool.call:shop_secret_audit", False),
        ("bob", "tool.call:run_python", False),
        ("bob", "tool.call:shop_nothing", False),
    ]


async def test_who_has_few_is_shown_them_one_by_one(place: Place) -> None:
    key = await key_of(place, "eve", "tool.call:shop_order_000*")
    async with place.client(REVISIONS[0], key) as client:
        assert await listed(client) == [f"shop_order_000{digit}" for digit in range(10)]
    none = await key_of(place, "mallory", "task.*")
    async with place.client(REVISIONS[0], none) as client:
        assert await listed(client) == []
        for name in FINDING:
            with pytest.raises(MCPError, match=f"there is no tool '{name}'"):
                await client.call_tool(name, {"name": "shop_refund", "query": "refund"})
    assert [one for one in await audited(place) if one[2]] == []
