"""A page in a real browser, watched."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Page

from codin.testing.serving import Served

WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', e => window.violations.push(
  `${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
"""


class Tab:
    """A page, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        page.on("console", self._console)

    def _console(self, message: Any) -> None:
        # a broken connection is told by the browser itself, and shown on the page
        if message.type == "error" and "ERR_CONNECTION" not in message.text:
            self.problems.append(message.text)

    async def check(self) -> None:
        assert self.problems == []
        assert await self.page.evaluate("window.violations") == []
        assert await self.page.evaluate("window.probed") is None


async def give(page: Page, served: Served, goal: str) -> None:
    await page.goto(served.url)
    await page.get_by_label("Goal", exact=True).fill(goal)
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"#/task/"))


def state(page: Page) -> Any:
    return page.locator("main .chip")
