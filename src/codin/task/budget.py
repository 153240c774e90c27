"""What the tasks of a goal have used, counted from its log, and what its plan lets them use.

So the count is the same after a restart, whoever goes on. Calls of tools, and what models that the
platform was asked for used, are the platform's own records. Agents also tell of models: of those
requests, and of others that the platform does not see. Of each task the higher count counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from codin.agent.planning.plan import Budget
from codin.task.log.base import EventLog
from codin.task.log.entries import LogEvent
from codin.task.log.follow import POLL_SECONDS
from codin.task.log.rows import StepRow
from codin.task.states import STOPPED
from codin.task.work import Run


class UnknownPrice(Exception):
    """What the tokens of a model cost is not known."""


@dataclass(frozen=True, slots=True)
class _Count:
    """What requests of models used; ``unpriced`` is one of which the price is not known."""

    tokens: int = 0
    money: float = 0.0
    calls: int = 0
    unpriced: str = ""

    def plus(self, data: Mapping[str, Any]) -> _Count:
        """This and another request."""
        model = str(data.get("model") or "")
        given, taken = int(data.get("input_tokens") or 0), int(data.get("output_tokens") or 0)
        cost, unpriced = 0.0, self.unpriced
        if given or taken:
            try:
                cost = price(model, given, taken)
            except UnknownPrice:
                unpriced = unpriced or model or "a model without a name"
        return _Count(self.tokens + given + taken, self.money + cost, self.calls + 1, unpriced)


@dataclass(slots=True)
class Spent:
    """What was used up to an event of the goal's log. Waiting for an answer takes no time."""

    seconds: float = 0.0
    tokens: int = 0
    money: float = 0.0
    tool_calls: int = 0
    model_calls: int = 0
    _last: float | None = None
    _told: dict[str, _Count] = field(default_factory=dict)
    _asked: dict[str, _Count] = field(default_factory=dict)
    _unpriced: dict[str, str] = field(default_factory=dict)

    def take(self, event: LogEvent) -> None:
        """Count the next event in."""
        if self._last is not None:
            self.seconds += max(event.time - self._last, 0.0)
        self._last = None if event.state in STOPPED else event.time
        task_id, kind, body = event.task_id, str(event.kind), event.body
        while kind == "child":
            task_id, kind, body = str(body["task_id"]), str(body["kind"]), body["body"]
        if kind == "call" and body.get("type") == "started":
            self.tool_calls += 1
        elif kind == "status":
            for part in body.get("status", {}).get("message", {}).get("parts", ()):
                data = part.get("data")
                if isinstance(data, Mapping) and data.get("type") == "usage":
                    self._add(self._told, task_id, data)
        elif kind == "model" and "used" in body:
            self._add(self._asked, task_id, body["used"])

    def over(self, budget: Budget) -> str:
        """Which part of ``budget`` is used up, but for its seconds, as a sentence; empty while none
        is."""
        if budget.money is not None and self._unpriced:
            model = next(iter(self._unpriced.values()))
            return (
                f"what {model} costs is not known, and the plan's budget is in money: give it in"
                " tokens"
            )
        for name, what in _WORDS.items():
            used, most = getattr(self, name), getattr(budget, name)
            if most is not None and used > most:
                shown = f"{used:,.4g}" if isinstance(used, float) else f"{used:,}"
                return f"the plan's budget is used up: {shown} of {most:,} {what}"
        return ""

    def _add(self, counts: dict[str, _Count], task_id: str, data: Mapping[str, Any]) -> None:
        before = self._of(task_id)
        counts[task_id] = counts.get(task_id, _Count()).plus(data)
        now = self._of(task_id)
        self.tokens += now.tokens - before.tokens
        self.money += now.money - before.money
        self.model_calls += now.calls - before.calls
        if now.unpriced:
            self._unpriced[task_id] = now.unpriced

    def _of(self, task_id: str) -> _Count:
        told, asked = self._told.get(task_id, _Count()), self._asked.get(task_id, _Count())
        return _Count(
            max(told.tokens, asked.tokens),
            max(told.money, asked.money),
            max(told.calls, asked.calls),
            asked.unpriced or (told.unpriced if told.tokens > asked.tokens else ""),
        )


_WORDS = {
    "tokens": "tokens",
    "money": "US dollars",
    "tool_calls": "tool calls",
    "model_calls": "model calls",
}


class BudgetWatch:
    """Counts what the goal of ``run`` uses as its log grows, and tells when ``budget`` is up.
    ``rows`` are those of its tasks."""

    def __init__(self, log: EventLog, run: Run, budget: Budget, rows: Iterable[StepRow]) -> None:
        self._log = log
        self._run = run
        self._budget = budget
        self._rows = rows
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
                    looked = time.monotonic()
                    while not found:
                        await wakeups.wait(POLL_SECONDS)
                        if time.monotonic() - looked >= POLL_SECONDS:
                            await self._look()
                            looked = time.monotonic()
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

    async def _look(self) -> None:
        """Take in what the tasks at work have used without a word."""
        for row in self._rows:
            if row.state == "working" and row.child_id is not None:
                await self._run.adopt(row.child_id, step=row.step_id, agent=row.agent)

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
