"""Calls that a policy asks about: what an approver is asked, and what comes of its answer."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quick_executor import Quick, Scripted

from codin.security import RunGrant
from codin.tool import (
    ApprovalNeeded,
    CallFinished,
    CallRecorder,
    CallStarted,
    ExecutorSettings,
    Invocation,
    ToolFailed,
    ToolRefused,
)
from codin.tool.policies.approval import Approver, PendingCall

PAY = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "to": {"type": "string", "default": "Bo"},
    },
    "required": ["amount"],
}
ASK = {"tool": "pay", "effect": "ask", "argument": "amount", "min": 100, "reason": "Large."}
Decide = Callable[[PendingCall], Awaitable[None]]


class Asked(Approver):
    """Lets ``decide`` approve calls."""

    def __init__(self, decide: Decide | None = None) -> None:
        self.calls: list[PendingCall] = []
        self._decide = decide

    async def approve(self, grant: RunGrant, call: PendingCall) -> None:
        self.calls.append(call)
        if self._decide:
            await self._decide(call)


class Written(CallRecorder):
    """Remembers what was written down, and knows ``before``."""

    def __init__(self, **before: CallFinished) -> None:
        self.ends: list[tuple[str, str | None]] = []
        self.before = before

    async def known(self, grant: RunGrant, key: str) -> CallFinished | None:
        return next((call for name, call in self.before.items() if f":{name}:" in key), None)

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        self.ends.append((call.name, "started"))

    async def finished(self, grant: RunGrant, call: CallFinished) -> None:
        self.ends.append((call.name, call.error_type))


def pay(*script: Any) -> Scripted:
    return Scripted(*script, name="pay", input_schema=PAY)


async def test_the_approver_sees_the_call_as_it_would_be_made() -> None:
    tool, asked = pay("paid"), Asked()
    quick = Quick(tool, policies=(ASK,), approver=asked)
    assert (await quick.call("pay", '{"amount": "100"}')).value == "paid"
    assert (await quick.call("pay", {"amount": 99})).value == "paid"
    [call] = asked.calls
    assert call.arguments == tool.calls[0].arguments
    assert call.arguments["amount"] == 100
    assert call.key == tool.calls[0].idempotency_key
    assert call.reason == (
        "pay: argument 'amount' is 100, and a value at least 100 has to be approved by somebody, "
        "which nobody has done. Large."
    )


async def test_what_is_refused_is_not_done() -> None:
    async def no(call: PendingCall) -> None:
        raise ToolRefused("pay: no")

    tool, written = pay("paid"), Written()
    quick = Quick(tool, policies=(ASK,), approver=Asked(no), recorder=written)
    outcome = await quick.call("pay", {"amount": 100})
    assert (outcome.error_type, outcome.text, tool.calls) == ("ToolRefused", "pay: no", [])
    assert written.ends == [("pay", "started"), ("pay", "ToolRefused")]


async def test_an_approval_overrules_nothing_that_is_denied() -> None:
    asked = Asked()
    deny = {"tool": "pay", "effect": "deny", "argument": "to", "in": ["Bo"]}
    allow = {"tool": "pay", "effect": "allow", "argument": "amount", "max": 500}
    quick = Quick(pay("paid"), policies=(ASK, deny, allow), approver=asked)
    for arguments in ({"amount": 100, "to": "Bo"}, {"amount": 501, "to": "Al"}):
        assert (await quick.call("pay", arguments)).error_type == "ToolRefused"
    assert asked.calls == []

    async def looked(call: Invocation) -> str:
        call.check({**call.arguments, "to": "Bo"})
        return "paid"

    quick = Quick(pay(looked), policies=(ASK, deny), approver=asked)
    refused = await quick.call("pay", {"amount": 100, "to": "Al"})
    assert (refused.error_type, len(asked.calls)) == ("ToolRefused", 1)


async def test_what_a_tool_finds_to_be_meant_is_asked_about_too() -> None:
    async def looked(call: Invocation) -> str:
        call.check({**call.arguments, "amount": 1000})
        return "paid"

    tool, asked = pay(looked), Asked()
    quick = Quick(tool, policies=(ASK,), approver=asked)
    assert (await quick.call("pay", {"amount": 1})).value == "paid"
    assert (len(tool.calls), len(asked.calls)) == (2, 1)
    assert "'amount' is 1000" in asked.calls[0].reason


async def test_a_tool_that_asks_by_itself_is_asked_about_once() -> None:
    tool, asked = pay(ApprovalNeeded("me too")), Asked()
    outcome = await Quick(tool, approver=asked).call("pay", {"amount": 1})
    assert (outcome.error_type, outcome.text) == ("ApprovalNeeded", "me too")
    assert (len(tool.calls), len(asked.calls)) == (2, 1)


async def test_nobody_waits_for_a_call_that_is_asked_about() -> None:
    decided = asyncio.Event()

    async def later(call: PendingCall) -> None:
        await decided.wait()

    quick = Quick(
        pay("paid"),
        policies=(ASK,),
        approver=Asked(later),
        settings=ExecutorSettings(calls=1, calls_per_goal=1),
    )
    waiting = asyncio.create_task(quick.call("pay", {"amount": 100}))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await quick.call("pay", {"amount": 1})).value == "paid"
    decided.set()
    assert (await waiting).value == "paid"


async def test_a_call_that_is_stopped_while_it_waits_is_written_down_so() -> None:
    async def never(call: PendingCall) -> None:
        await asyncio.Event().wait()

    written, asked = Written(), Asked(never)
    quick = Quick(pay("paid"), policies=(ASK,), approver=asked, recorder=written)
    waiting = asyncio.create_task(quick.call("pay", {"amount": 100}))
    while not asked.calls:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert written.ends == [("pay", "started"), ("pay", "ApprovalNeeded")]


async def test_where_nobody_can_be_asked_it_is_refused() -> None:
    tool = pay("paid")
    quick = Quick(tool, policies=(ASK,), approver=Asked())
    written = Written()

    async def sink(*_: Any) -> None: ...

    beside = quick.executor.beside(recorder=written, sink=sink)
    outcome = await beside.call(quick.grant(), "pay", {"amount": 100})
    assert (outcome.error_type, tool.calls) == ("ApprovalNeeded", [])


def ended(value: Any = None, error: str | None = None, **more: Any) -> CallFinished:
    return CallFinished("c", "pay", "{}", 0.1, value, error, **more)


@pytest.mark.parametrize(
    ("before", "text", "error"),
    [
        (ended("paid"), "paid", None),
        (ended({"b": 1, "a": ["ä"]}), '{"b": 1, "a": ["ä"]}', None),
        (ended("cut", truncated=True), "cut", None),
        (ended(error="ToolRefused", message="no"), "no", ToolRefused),
        (ended(error="NoSuchError", message="gone"), "gone", ToolFailed),
    ],
)
async def test_a_call_that_was_made_before_is_not_made_again(
    before: CallFinished, text: str, error: type[Exception] | None
) -> None:
    followed: list[dict[str, Any]] = []

    class Following(Scripted):
        async def recorded(self, grant: RunGrant, arguments: dict[str, Any]) -> None:
            followed.append(arguments)

    tool, written = Following("new", name="pay", input_schema=PAY), Written(pay=before)
    outcome = await Quick(tool, recorder=written).call("pay", {"amount": "7"})
    assert (outcome.text, outcome.value) == (text, before.value)
    assert outcome.truncated == before.truncated
    assert type(outcome.error) is (error or type(None))
    assert (tool.calls, written.ends) == ([], [])
    assert followed == ([] if error else [{"amount": 7}])


def shown(**arguments: Any) -> str:
    return str(PendingCall("c", "pay", arguments, "k", ""))


def test_a_call_is_shown_whole_and_as_it_is() -> None:
    hidden = "a\u202eb\u200bc\n\x1b[2Jd\u2028e\ufeff\U000e0041"
    text = shown(to=hidden, long="x" * 100_000)
    assert '"to": "a\\u202eb\\u200bc\\n\\u001b[2Jd\\u2028e\\ufeff\\udb40\\udc41"' in text
    assert "x" * 100_000 in text


@given(st.text())
def test_nothing_is_shown_that_cannot_be_seen(text: str) -> None:
    line = shown(to=text).splitlines()[1]
    assert not any(
        unicodedata.category(one) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") for one in line
    )
    assert json.loads(line.partition(":")[2]) == text
