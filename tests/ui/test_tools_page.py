"""The view of the tools, with more of them than anybody looks through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser_tab import Tab
from playwright.async_api import Page, expect

from codin.config import ServerSettings, Settings
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.gateway.serving import serve
from codin.model import parse
from codin.security import LOCAL_USER
from codin.tool.base import ToolSpec
from codin.tool.invocation import Invocation, RunnableTool

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
MANY = 1_200
PROBE = "<img src=x onerror=window.probed=1>"


class Described(RunnableTool):
    """A tool that is looked at."""

    def __init__(self, name: str, description: str, **spec: Any) -> None:
        self.name = name
        self.spec = ToolSpec(name=name, description=description, **spec)

    async def run(self, call: Invocation) -> Any:
        return self.name


def tools() -> list[RunnableTool]:
    schema = {"type": "object", "properties": {"id": {}, PROBE: {}}, "required": ["id"]}
    hostile = Described("shop_hostile", f"Hostile {PROBE}\nMore {PROBE}", input_schema=schema)
    ordinary = [Described(f"shop_order_{n:04}", f"Order number {n}.") for n in range(MANY)]
    return [*ordinary, Described("shop_refund", "Give the money back.", version="2"), hostile]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Platform, str]]:
    home: Path = tmp_path_factory.mktemp("tools")
    settings = Settings(home=home, server=ServerSettings(port=0))
    async with (
        open_platform(settings, NO_MODEL) as platform,
        serve(platform.parts(), settings.server, guarded=False) as found,
    ):
        assert platform.tools.replace("shop", tools()) == ()
        yield platform, found.url.rstrip("/")


def rows(page: Page) -> Any:
    return page.get_by_role("list", name="Tools").locator("li")


async def test_the_first_of_many_are_shown_and_more_when_asked(
    place: tuple[Platform, str], tab: Tab
) -> None:
    page, (platform, url) = tab.page, place
    total = len(platform.tools.list(LOCAL_USER))
    await page.goto(url)
    await page.get_by_role("link", name="Tools").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Tools")
    await expect(page.get_by_role("link", name="Tools")).to_have_attribute("aria-current", "page")
    status = page.locator("main").get_by_role("status")
    await expect(status).to_have_text(f"{total:,} tools, the first 50 are shown")
    await expect(rows(page)).to_have_count(50)
    await expect(rows(page).first).to_contain_text("describe_data")
    await page.get_by_role("button", name="More tools").click()
    await expect(rows(page)).to_have_count(100)
    await expect(status).to_have_text(f"{total:,} tools, the first 100 are shown")
    names = await rows(page).locator("b").all_inner_texts()
    assert names == sorted(names)
    assert len(set(names)) == 100
    await page.get_by_role("link", name="New goal").click()
    await expect(page.get_by_label("Goal", exact=True)).to_be_focused()
    assert await page.locator("#tools").get_attribute("aria-current") is None
    await tab.check()


async def test_a_search_shows_what_fits(place: tuple[Platform, str], tab: Tab) -> None:
    page, (_, url) = tab.page, place
    await page.goto(f"{url}/#/tools")
    search = page.get_by_label("Search tools")
    await expect(search).to_be_focused()
    await search.press_sequentially("money back")
    await expect(rows(page)).to_have_count(1)
    await expect(rows(page)).to_contain_text("Give the money back.")
    await expect(rows(page)).to_contain_text("version 2")
    status = page.locator("main").get_by_role("status")
    await expect(status).to_have_text("1 tool with these words, the best first")
    await expect(page.get_by_role("button", name="More tools")).to_be_hidden()
    await search.fill("order")
    await expect(status).to_have_text("The 50 that fit best")
    await page.get_by_role("button", name="More tools").click()
    await expect(rows(page)).to_have_count(100)
    await search.fill("zebra")
    await expect(status).to_have_text("No tool fits “zebra”.")
    await expect(rows(page)).to_have_count(0)
    await search.fill("")
    await expect(rows(page)).to_have_count(50)
    await tab.check()


async def test_what_tools_say_of_themselves_stays_text(
    place: tuple[Platform, str], tab: Tab
) -> None:
    page, (_, url) = tab.page, place
    await page.goto(f"{url}/#/tools")
    await page.get_by_label("Search tools").fill("shop_hostile")
    await expect(rows(page).first).to_contain_text(PROBE)
    await rows(page).first.locator("summary").click()
    await expect(rows(page).first.locator("summary")).to_have_text(f"id, {PROBE}?")
    await expect(rows(page).first.locator(".plain")).to_have_text(f"More {PROBE}")
    await expect(page.get_by_label("Arguments of shop_hostile")).to_contain_text('"required"')
    assert await page.locator("main img").count() == 0
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await tab.check()


async def test_what_goes_wrong_is_said(place: tuple[Platform, str], tab: Tab) -> None:
    page, (_, url) = tab.page, place
    await page.goto(f"{url}/#/tools")
    await expect(rows(page)).to_have_count(50)
    await page.route("**/api/tools*", lambda route: route.abort())
    await page.get_by_label("Search tools").fill("refund")
    await expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer")
    await page.unroute("**/api/tools*")
    await page.get_by_label("Search tools").fill("refund money")
    await expect(rows(page).first).to_contain_text("shop_refund")
    await expect(page.get_by_role("alert")).to_be_hidden()
