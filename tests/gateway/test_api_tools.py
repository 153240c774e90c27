"""The tools by the page's API: all of them, page by page, and those that fit some words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from codin.config import SecuritySettings, ServerSettings, Settings
from codin.gateway.opening import open_platform
from codin.gateway.serving import serve
from codin.model import parse
from codin.security import KeyRequest, Principal
from codin.testing.serving import serve_agents
from codin.testing.team import TEAM, FixedPlanner
from codin.tool.base import ToolSpec
from codin.tool.invocation import Invocation, RunnableTool

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
OWNER = Principal("acme", "olga", frozenset({"owner"}))


class Numbered(RunnableTool):
    """A tool that is listed."""

    def __init__(self, name: str, description: str) -> None:
        self.name = name
        self.spec = ToolSpec(name=name, description=description)

    async def run(self, call: Invocation) -> Any:
        return self.name


class Place:
    """A platform with 1,203 tools and the built-in ones, and callers of its API."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        self.url, self.keys = url, keys

    async def tools(self, who: str, status: int = 200, **query: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.keys[who]}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as http:
            answer = await http.get("/api/tools", params=query)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    settings = Settings(
        home=tmp_path_factory.mktemp("tools") / "home",
        server=ServerSettings(port=0),
        security=SecuritySettings(auth=True),
    )
    async with (
        open_platform(settings, NO_MODEL) as platform,
        serve(platform.parts(), settings.server, guarded=True) as found,
    ):
        tools = [Numbered(f"shop_order_{n:04}", f"Order number {n}.") for n in range(1_200)]
        tools += [
            Numbered("shop_refund", "Give the money back."),
            Numbered("shop_pay", "Give the shop its money."),
            Numbered("shop_secret", "Give the money to somebody else."),
        ]
        assert platform.tools.replace("shop", tools) == ()
        keys = {}
        for name, *scopes in [
            ("ann", "tool.call:*"),
            ("bob", "tool.call:shop_order_*", "tool.call:shop_refund"),
        ]:
            asked = KeyRequest(name, frozenset({"owner"}), frozenset(scopes))
            keys[name] = (await platform.trust.store.keys.add(OWNER, asked))[1]
        yield Place(found.url, keys)


def names(found: dict[str, Any]) -> list[str]:
    return [tool["name"] for tool in found["tools"]]


async def test_who_asks_for_no_page_gets_all(place: Place) -> None:
    found = await place.tools("bob")
    assert len(found["tools"]) == found["total"] == 1_201
    assert found["next"] == ""
    assert names(found) == sorted(names(found))
    assert "shop_secret" not in names(found)


async def test_pages_have_all_once(place: Place) -> None:
    seen: list[str] = []
    following = ""
    for _ in range(13):
        found = await place.tools("bob", limit=100, page=following)
        assert found["total"] == 1_201
        seen += names(found)
        following = found["next"]
    assert following == ""
    assert seen == names(await place.tools("bob"))
    beyond = await place.tools("bob", limit=100, page="999999")
    assert (beyond["tools"], beyond["next"]) == ([], "")


async def test_a_search_has_the_best_first_and_nothing_that_one_may_not_call(place: Place) -> None:
    found = await place.tools("ann", search="give money back", limit=1)
    assert (names(found), found["next"], found["total"]) == (["shop_refund"], "1", 3)
    rest = await place.tools("ann", search="give money back", limit=5, page="1")
    assert (sorted(names(rest)), rest["next"]) == (["shop_pay", "shop_secret"], "")
    for words in ("give money back", "shop_secret", "somebody else"):
        assert "shop_secret" not in names(await place.tools("bob", search=words))
    assert names(await place.tools("bob", search="money")) == ["shop_refund"]
    nothing = await place.tools("bob", search="zebra")
    assert nothing == {"tools": [], "next": "", "total": 0}
    odd = await place.tools("bob", search='"NEAR( * shop_refund \x00')
    assert names(odd)[0] == "shop_refund"
    blank = await place.tools("bob", search="   ", limit=2)
    assert blank["total"] == 1_201


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "-1"}, {"limit": "10000"}, {"limit": "x"}, {"page": "x"},
     {"page": "-1"}, {"search": "x" * 1_001}],
)  # fmt: skip
async def test_what_cannot_be_used_is_told(place: Place, query: dict[str, str]) -> None:
    refused = await place.tools("ann", 400, **query)
    assert refused["error"]["code"] == "invalid_request"
    assert next(iter(query)) in refused["error"]["message"]


async def test_a_gateway_that_searches_no_tools_says_so(tmp_path: Path) -> None:
    async with (
        serve_agents(tmp_path, TEAM, FixedPlanner()) as served,
        httpx.AsyncClient(base_url=served.url) as http,
    ):
        answer = await http.get("/api/tools", params={"search": "save"})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("tools are not searched here")
