"""The page in a real browser: a goal is given, watched, reloaded, canceled; no text ever runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser_tab import Tab, give, state
from playwright.async_api import expect

from codin.testing.serving import Served, serve_agents
from codin.testing.team import ANSWER, TEAM, FixedPlanner

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PLAIN_ANSWER = ANSWER.replace("*", "")


@pytest_asyncio.fixture(loop_scope="module")
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve_agents(tmp_path, TEAM, FixedPlanner()) as served:
        yield served


async def test_a_goal_is_given_and_shown_and_a_reload_shows_the_same(
    served: Served, tab: Tab
) -> None:
    page = tab.page
    await give(page, served, "Which region leads?")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Which region leads?")
    await expect(page.get_by_role("list", name="Steps").locator(".step")).to_have_count(3)
    await expect(state(page)).to_have_text("Done", timeout=20_000)
    await expect(page.get_by_role("region", name="Answer")).to_contain_text(PLAIN_ANSWER)
    events = page.get_by_role("region", name="Events")
    for told in ("list_files", "run_python", "West 290299.10", "Working", "made chart.png"):
        await expect(events).to_contain_text(told)
    files = page.get_by_role("region", name="Files")
    await expect(files.get_by_role("img", name="Picture chart.png")).to_be_visible()
    assert await files.locator("img").evaluate("one => one.naturalWidth") == 1
    async with page.expect_download() as downloading:
        await files.get_by_role("link", name="Download rows.csv").click()
    downloaded = await (await downloading.value).path()
    assert downloaded.read_text().startswith("region,revenue")
    await expect(page.locator("#model")).to_have_text("scripted agents")

    shown = await page.locator("main").inner_text()
    await page.reload()
    await expect(state(page)).to_have_text("Done")
    await expect(page.locator(".file")).to_have_count(3)
    assert await page.locator("main").inner_text() == shown
    await expect(page.locator("#history a[aria-current]")).to_contain_text("Which region leads?")
    await tab.check()


async def test_while_it_streams_the_answer_grows_and_can_be_stopped(
    served: Served, tab: Tab
) -> None:
    page = tab.page
    await give(page, served, "hang on")
    await expect(page.locator(".answer[data-draft=true]")).to_contain_text("The **North** region")
    await expect(page.locator(".step[data-state=working]")).to_contain_text("writer")
    await page.reload()
    await expect(page.locator(".answer[data-draft=true]")).to_contain_text("The **North** region")
    await page.get_by_role("button", name="Cancel").click()
    await expect(state(page)).to_have_text("Canceled")
    await expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    await expect(page.locator("#history .chip")).to_have_text("Canceled")
    await tab.check()


async def test_what_is_hostile_stays_text(served: Served, tab: Tab) -> None:
    page = tab.page
    await give(page, served, "hostile <img src=x onerror=window.probed=1>")
    await expect(state(page)).to_have_text("Done", timeout=20_000)
    await expect(page.locator(".file")).to_have_count(3)
    await page.locator("main details").evaluate_all("all => all.forEach(one => one.open = true)")
    for region in ("Plan", "Answer", "Files", "Events"):
        await expect(page.get_by_role("region", name=region)).to_contain_text("probed=1")
    made = "main script, main svg, main [onerror], main [onmouseover], main iframe, main b b"
    assert await page.locator(made).count() == 0
    assert await page.locator("main img").count() == 1
    links = await page.locator("main a").evaluate_all("all => all.map(one => one.protocol)")
    assert set(links) == {"http:"}
    await page.get_by_role("link", name="New goal").click()
    await expect(page.locator("#history")).to_contain_text("hostile <img")
    await tab.check()


async def test_an_agent_that_asks_is_answered(served: Served, tab: Tab) -> None:
    page = tab.page
    await give(page, served, "ask me")
    await expect(state(page)).to_have_text("Needs an answer", timeout=20_000)
    await expect(page.get_by_role("alert")).to_have_text("scout asks: Which year?")
    await page.reload()
    await page.get_by_label("Your answer").fill("2025")
    await page.get_by_role("button", name="Send").click()
    await expect(state(page)).to_have_text("Done", timeout=20_000)
    await expect(page.get_by_role("region", name="Events")).to_contain_text("You: 2025")
    await expect(page.get_by_label("Your answer")).to_be_hidden()
    await tab.check()


RECORDED = """async () => {
  const { Run } = await import('/static/run.js');
  const run = new Run('t');
  let seq = 0;
  const child = (kind, body) => run.apply({task_id: 't', seq: ++seq, time: seq, kind: 'child',
    body: {step: 's', agent: 'a', task_id: 'c', seq, kind, body}});
  const told = (data) => child('status', {status: {state: 'TASK_STATE_WORKING',
    message: {parts: [{data}]}}});
  const call = (id, args) => told({type: 'tool_call', call_id: id, name: 'f', arguments: args});
  const result = (id, content) => told({type: 'tool_result', call_id: id, name: 'f', content});
  const began = (id, args) => child('call', {type: 'started', call_id: id, name: 'f',
    arguments: JSON.stringify(args)});
  const ended = (id, value) => child('call', {type: 'finished', call_id: id, name: 'f', value});
  // known by one id; by two, told either way round; twice the same; never told by the agent
  call('1', {x: 1}); began('1', {x: 1}); ended('1', 'A'); result('1', 'A');
  began('r2', {y: 1, x: 2}); call('2', {x: 2, y: 1}); ended('r2', 'B'); result('2', 'B');
  call('3', {x: 3}); began('r3', {x: 3}); ended('r3', 'C'); result('3', 'C');
  call('4', {x: 3}); began('r4', {x: 3}); ended('r4', 'D'); result('4', 'D');
  began('r5', {x: 5}); ended('r5', 'E');
  began('r6', {x: 6});
  child('status', {status: {state: 'TASK_STATE_CANCELED'}});
  return run.items.map(one => [one.arguments.x, one.result ?? null, one.done, one.cut ?? false]);
}"""


async def test_a_call_is_one_item_whoever_tells_of_it(served: Served, tab: Tab) -> None:
    await tab.page.goto(served.url)
    assert await tab.page.evaluate(RECORDED) == [
        [1, "A", True, False],
        [2, "B", True, False],
        [3, "C", True, False],
        [3, "D", True, False],
        [5, "E", True, False],
        [6, None, True, True],
    ]


async def test_a_failure_says_what_failed(served: Served, tab: Tab) -> None:
    page = tab.page
    await give(page, served, "fail please")
    await expect(state(page)).to_have_text("Failed", timeout=20_000)
    await expect(page.get_by_role("alert")).to_contain_text("compute")
    await expect(page.locator(".step[data-state=failed]")).to_contain_text("analyst")
    await expect(page.get_by_role("region", name="Events")).to_contain_text("no column 'revenue'")
    await tab.check()


async def test_a_gateway_that_comes_back_is_found_again(tmp_path: Path, tab: Tab) -> None:
    page = tab.page
    async with serve_agents(tmp_path, TEAM, FixedPlanner()) as served:
        await give(page, served, "hang on")
        await expect(page.locator(".answer")).to_contain_text("North")
    await expect(page.locator("#link")).to_have_text("Reconnecting…")
    port = int(served.url.rpartition(":")[2])
    async with serve_agents(tmp_path, TEAM, FixedPlanner(), port=port):
        await expect(state(page)).to_have_text("Canceled", timeout=20_000)
        await expect(page.locator("#link")).to_have_text("")
        shown = await page.locator("main").inner_text()
        await page.reload()
        await expect(state(page)).to_have_text("Canceled")
        assert await page.locator("main").inner_text() == shown  # nothing lost, nothing twice


async def test_errors_are_said_on_the_page(served: Served, tab: Tab) -> None:
    page = tab.page
    await page.goto(f"{served.url}/#/task/nope")
    await expect(page.get_by_role("alert")).to_have_text("There is no such goal here.")
    await page.goto(f"{served.url}/#/")
    await page.get_by_label("Goal", exact=True).fill("x" * 300_000)
    await page.get_by_role("button", name="Run").click()
    await expect(page.get_by_role("alert")).to_contain_text("262,144")


async def test_it_fits_a_phone_and_a_keyboard(served: Served, tab: Tab) -> None:
    page = tab.page
    await page.set_viewport_size({"width": 360, "height": 740})
    await give(page, served, "hostile " + "wide" * 60)
    await expect(state(page)).to_have_text("Done", timeout=20_000)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await expect(page.get_by_role("navigation", name="Goals")).to_be_hidden()
    menu = page.get_by_role("button", name="History")
    await menu.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="New goal")).to_be_visible()
    box = await page.locator("#side").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] == 740  # it covers what is below
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("navigation", name="Goals")).to_be_hidden()
    unnamed = "button, a, textarea, input, img"
    names = await page.locator(unnamed).evaluate_all(
        "all => all.filter(one => !(one.labels?.length || one.textContent.trim()"
        " || one.getAttribute('aria-label') || one.hasAttribute('alt')))"
        ".map(one => one.outerHTML)"
    )
    assert names == []
