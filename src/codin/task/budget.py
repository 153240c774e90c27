"""What the tasks of a goal have used, counted from its log, and what its plan lets them use.

So the count is the same after a restart, whoever goes on. Tokens and requests of models are those
that agents tell of; calls of tools are the platform's own records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codin.agent.planning.plan import Budget
from codin.task.log.base import EventLog, LogEvent
from codin.task.log.follow import POLL_SECONDS
from codin.task.states import STOPPED
from codin.task.work import Run


class UnknownPrice(Exception):
    """What the tokens of a model cost is not known."""


@dataclass(slots=True)
class Spent:
    """What was used up to an event of the goal's log. Waiting for an answer takes no time."""

    seconds: float = 0.0
    tokens: int = 0
    money: float = 0.0
    tool_calls: int = 0
    model_calls: int = 0
    unpriced: str = ""
    _last: float | None = None

    def take(self, event: LogEvent) -> None:
        """Count the next event in."""
        if self._last is not None:
            self.seconds += max(event.time - self._last, 0.0)
        self._last = None if event.state in STOPPED else event.time
        kind, body = str(event.kind), event.body
        while kind == "child":
            kind, body = str(body["kind"]), body["body"]
        if kind == "call" and body.get("type") == "started":
            self.tool_calls += 1
        elif kind == "status":
            for part in body.get("status", {}).get("message", {}).get("parts", ()):
                self._used(part.get("data"))

    def over(self, budget: Budget) -> str:
        """Which part of ``budget`` is used up, but for its seconds, as a sentence; empty while none
        is."""
        if budget.money is not None and self.unpriced:
            return (
                f"what {self.unpriced} costs is not known, and the plan's budget is in money: give"
                " it in tokens"
            )
        for name, what in _WORDS.items():
            used, most = getattr(self, name), getattr(budget, name)
            if most is not None and used > most:
                shown = f"{used:,.4g}" if isinstance(used, float) else f"{used:,}"
                return f"the plan's budget is used up: {shown} of {most:,} {what}"
        return ""

    def _used(self, data: Any) -> None:
        if not isinstance(data, Mapping) or data.get("type") != "usage":
            return
        model = str(data.get("model") or "")
        given, taken = int(data.get("input_tokens") or 0), int(data.get("output_tokens") or 0)
        self.model_calls += 1
        self.tokens += given + taken
        try:
            self.money += price(model, given, taken)
        except UnknownPrice:
            self.unpriced = self.unpriced or model or "a model without a name"


_WORDS = {
    "tokens": "tokens",
    "money": "US dollars",
    "tool_calls": "tool calls",
    "model_calls": "model calls",
}


class BudgetWatch:
    """Counts what the goal of ``run`` uses as its log grows, and tells when ``budget`` is up."""

    def __init__(self, log: EventLog, run: Run, budget: Budget) -> None:
        self._log = log
        self._run = run
        self._budget = budget
        self._spent = Spent()
        self._seq = 0
        self._counting = asyncio.Lock()

    async def used_up(self) -> str:
        """Return, with a sentence that says so, when more than the budget is used.

        Raises:
            LogError: the log cannot be read.
        """
        found = await self._counted()
        seconds = self._budget.seconds
        left = None if seconds is None else max(seconds - self._spent.seconds, 0.0)
        try:
            async with asyncio.timeout(left):
                with self._log.notifier.subscribe(self._run.task_id) as wakeups:
                    while not found:
                        await wakeups.wait(POLL_SECONDS)
                        found = await self._counted()
        except TimeoutError:
            return f"the plan's budget is used up: {seconds:g} seconds"
        return found

    async def allow(self) -> None:
        """Return when something more may be used. Where the budget is used up it never does: then
        who waits for ``used_up`` stops the work.

        Raises:
            LogError: the log cannot be read.
        """
        await self._run.flushed()  # what the steps before have used is in the log then
        if await self._counted():
            await asyncio.Event().wait()

    async def _counted(self) -> str:
        who, task_id = self._run.principal, self._run.task_id
        async with self._counting:
            while events := await self._log.read(who, task_id, self._seq):
                for event in events:
                    self._spent.take(event)
                self._seq = events[-1].seq
            return self._spent.over(self._budget)


def price(model: str, input_tokens: int, output_tokens: int) -> float:
    """What a request cost, in US dollars, by the prices of its provider.

    Raises:
        UnknownPrice: they are not known.
    """
    from genai_prices import Usage, calc_price

    name = model.partition(":")[2] or model
    try:
        found = calc_price(
            Usage(input_tokens=input_tokens, output_tokens=output_tokens), model_ref=name
        )
    except LookupError:
        raise UnknownPrice(model) from None
    return float(found.total_price)
