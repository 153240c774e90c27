"""How calls are tried again, told apart, cleaned and bounded: in this process, with no sandbox."""

import asyncio
import time
from typing import Any

import pytest
from quick_executor import Quick, Scripted

from codin.sandbox.outcome import OutputChunk
from codin.security import LOCAL_USER, RunGrant
from codin.tool import (
    ExecutorSettings,
    FunctionTool,
    ToolFailed,
    ToolLimits,
    ToolUnavailable,
)
from codin.tool.events import ToolOutput
from codin.tool.execution._occurrences import Occurrences
from codin.tool.invocation import NoRecorder

AWAY = ToolUnavailable("the service is away")
THREE = ToolLimits(attempts=3)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codin.tool.execution._attempts._FIRST_WAIT", 0.001)


@pytest.mark.parametrize("effects", ["none", "repeatable"])
async def test_what_passes_is_tried_again(effects: Any) -> None:
    tool = Scripted(AWAY, AWAY, "there", effects=effects, limits=THREE)
    quick = Quick(tool)
    assert (await quick.call("scripted", {})).value == "there"
    keys = {call.idempotency_key for call in tool.calls}
    assert (len(tool.calls), len(keys)) == (3, 1)


@pytest.mark.parametrize(
    ("script", "spec", "times", "kind"),
    [
        ([AWAY], {"effects": "once", "limits": THREE}, 1, "ToolUnavailable"),
        ([AWAY], {"effects": "none"}, 1, "ToolUnavailable"),
        ([AWAY], {"effects": "none", "limits": THREE}, 3, "ToolUnavailable"),
        ([ToolFailed("no")], {"effects": "none", "limits": THREE}, 1, "ToolFailed"),
        ([ValueError("no")], {"effects": "none", "limits": THREE}, 1, "ToolFailed"),
        ([AWAY, KeyError("no")], {"effects": "none", "limits": THREE}, 2, "ToolFailed"),
    ],
)
async def test_what_does_not_pass_is_not(script: Any, spec: Any, times: int, kind: str) -> None:
    tool = Scripted(*script, **spec)
    outcome = await Quick(tool).call("scripted", {})
    assert (outcome.error_type, len(tool.calls)) == (kind, times)


async def test_it_waits_longer_before_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr("codin.tool.execution._attempts._FIRST_WAIT", 0.2)
    monkeypatch.setattr(asyncio, "sleep", noted)
    tool = Scripted(AWAY, effects="none", limits=ToolLimits(attempts=8))
    assert (await Quick(tool).call("scripted", {})).error_type == "ToolUnavailable"
    assert len(tool.calls) == 8
    least = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert len(waited) == len(least)
    for seconds, at_least in zip(waited, least, strict=True):
        assert at_least <= seconds <= min(at_least + 0.2, 5.0)


async def test_a_call_that_goes_well_needs_no_plan_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def planned(**_: Any) -> Any:
        raise AssertionError("nothing has failed")

    monkeypatch.setattr("tenacity.AsyncRetrying", planned)
    tool = Scripted("there", effects="none", limits=THREE)
    assert (await Quick(tool).call("scripted", {})).value == "there"


async def test_all_attempts_share_the_time_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codin.tool.execution._attempts._FIRST_WAIT", 0.2)
    limits = ToolLimits(attempts=10, seconds=0.3)
    begun = time.monotonic()
    outcome = await Quick(Scripted(AWAY, limits=limits)).call("scripted", {})
    assert outcome.error_type == "ToolTimeout"
    assert time.monotonic() - begun < 2


async def test_a_function_says_that_its_failure_passes() -> None:
    times = 0

    async def fetch(x: int = 0) -> str:
        """Fetch."""
        nonlocal times
        times += 1
        if times == 1:
            raise ToolUnavailable("try later")
        return "fetched"

    tool = FunctionTool.from_function(fetch, trusted=True, limits=THREE)
    assert (await Quick(tool).call("fetch", {})).value == "fetched"
    times = 0
    once = FunctionTool.from_function(fetch, trusted=True)
    assert (await Quick(once).call("fetch", {})).text.startswith("fetch failed: try later")


async def test_the_same_call_of_a_repeated_run_has_the_same_key() -> None:
    tool = Scripted("done")
    quick = Quick(tool)

    async def run() -> list[str]:
        tool.calls.clear()
        grant = quick.grant()
        for arguments in ({"x": 1, "y": 2}, '{"y":2,"x":1}', {"x": 2}, {"x": 1, "y": 2}):
            await quick.executor.call(grant, "scripted", arguments)
        return [call.idempotency_key for call in tool.calls]

    first = await run()
    await asyncio.sleep(0.01)
    assert await run() == first, "under a new grant, as after a crash"
    assert len(set(first)) == 4
    stems = [key.rpartition(":") for key in first]
    assert [stem[2] for stem in stems] == ["0", "1", "0", "2"]
    assert {stem[0] for stem in (stems[0], stems[1], stems[3])} == {stems[0][0]}
    assert first[0].startswith("codin:task-1:0:scripted:")
    assert all(len(key) <= 255 and key.isascii() for key in first)


async def test_calls_in_no_run_have_keys_of_their_own_and_all_else_in_common() -> None:
    tool = Scripted("done", limits=ToolLimits(per_minute=3))
    rule = {"tool": "scripted", "effect": "deny", "argument": "x", "in": ["bad"]}
    quick = Quick(tool, policies=(rule,))
    heard: list[str] = []

    class Heard(NoRecorder):
        async def started(self, grant: RunGrant, call: Any) -> None:
            heard.append(call.name)

    async def sink(grant: RunGrant, event: ToolOutput) -> None:
        heard.append(event.text)

    other = quick.executor.beside(recorder=Heard(), sink=sink)
    await quick.call("scripted", {})
    for _ in range(2):
        await other.call(quick.grant(), "scripted", {})
    assert len({call.idempotency_key for call in tool.calls}) == 3
    assert heard == ["scripted"] * 2
    assert (await other.call(quick.grant(), "scripted", {})).error_type == "ToolBusy"
    refused = await other.call(quick.grant(), "scripted", {"x": "bad"})
    assert refused.error_type == "ToolRefused"


def test_runs_are_forgotten_when_they_are_over_and_no_sooner() -> None:
    now = [0.0]
    occurrences = Occurrences(lambda: now[0])

    def grant(number: int, ends: float) -> RunGrant:
        return RunGrant(f"task-{number}", "g", "c", "a", LOCAL_USER, frozenset(), ends)

    for number in range(256):
        occurrences.key(grant(number, 100.0 if number else 1000.0), "t", "{}")
    now[0] = 101.0
    occurrences.key(grant(999, 1000.0), "t", "{}")
    assert len(occurrences._runs) == 2
    assert occurrences.key(grant(0, 1000.0), "t", "{}").endswith(":1")


SECRET = "hunter2-and/more"


async def test_secrets_that_a_call_used_are_in_nothing_that_it_gives_out() -> None:
    live: list[ToolOutput] = []

    async def leak(call: Any) -> Any:
        call.secrets.append(SECRET)
        call.emit(OutputChunk("stdout", f"with {SECRET}\n".encode()))
        return {"a": [f"Bearer {SECRET}"], SECRET: 1, "url": "https://x/?k=hunter2-and%2Fmore"}

    async def fail(call: Any) -> Any:
        call.secrets.append(SECRET)
        raise ValueError(f"401 for {SECRET}")

    quick = Quick(Scripted(leak, name="leak"), Scripted(fail, name="fail"), live=live)
    leaked = await quick.call("leak", {})
    assert leaked.value == {"a": ["Bearer [secret]"], "[secret]": 1, "url": "https://x/?k=[secret]"}
    failed = await quick.call("fail", {})
    assert failed.text == "fail failed: ValueError: 401 for [secret]"
    assert [event.text for event in live] == ["with [secret]\n"]
    with pytest.raises(ToolFailed) as caught:
        failed.unwrap()
    assert SECRET not in f"{leaked} {failed} {caught.value}"


async def test_a_secret_is_taken_out_also_where_output_comes_in_pieces() -> None:
    live: list[ToolOutput] = []

    async def leak(call: Any) -> str:
        call.secrets.append(SECRET)
        for piece in ("a hunt", "er2", "-and/more b", " hun", "gry hunter2-and/mor"):
            call.emit(OutputChunk("stdout", piece.encode()))
            await asyncio.sleep(0.03)
        return "done"

    settings = ExecutorSettings(live_seconds=0.001)
    quick = Quick(Scripted(leak, name="leak"), live=live, settings=settings)
    assert (await quick.call("leak", {})).value == "done"
    said = [event.text for event in live]
    assert len(said) > 2
    assert "".join(said) == "a [secret] b hungry hunter2-and/mor"


async def test_a_result_that_is_not_what_was_said_is_noted() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "s": {"type": "string"}},
        "required": ["n"],
    }
    tool = Scripted({"n": 1}, {"n": "1"}, {}, [1], output_schema=schema)
    quick = Quick(tool)
    outcomes = [await quick.call("scripted", {}) for _ in range(4)]
    assert [outcome.is_error for outcome in outcomes] == [False] * 4
    assert [outcome.mismatch for outcome in outcomes] == [
        "",
        "result.n does not fit properties.n.type",
        "result does not fit required",
        "result does not fit type",
    ]


async def test_a_schema_of_results_that_cannot_be_used_costs_no_result() -> None:
    tool = Scripted(1, output_schema={"$ref": "#/$defs/none"})
    outcome = await Quick(tool).call("scripted", {})
    assert (outcome.value, outcome.is_error) == (1, False)
    assert "schema cannot be used" in outcome.mismatch


async def test_a_large_result_keeps_nobody_waiting() -> None:
    rows = [{"row": number, "text": "some text"} for number in range(100_000)]
    either = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    schema = {"type": "array", "items": either}
    tool = Scripted(rows, name="rows", output_schema=schema, limits=ToolLimits(result_chars=10**9))
    quick, late = Quick(tool), 0.0

    async def beat() -> None:
        nonlocal late
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            late = max(late, time.monotonic() - begun)

    beating = asyncio.create_task(beat())
    begun = time.monotonic()
    outcome = await quick.call("rows", {})
    took = time.monotonic() - begun
    beating.cancel()
    assert outcome.value == rows
    assert outcome.mismatch == "result.0 does not fit items.anyOf"
    assert late < took / 2


async def test_a_result_that_cannot_be_looked_at_is_the_tools_failure() -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"no {name}")

    outcome = await Quick(Scripted({"x": Odd()})).call("scripted", {})
    assert outcome.error_type == "ToolFailed"
    assert "gave a result that cannot be told in JSON: RuntimeError" in outcome.text


async def test_what_goes_wrong_in_the_executor_itself_is_an_outcome_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick = Quick(Scripted("done"))
    monkeypatch.setattr(quick.executor._policies, "check", lambda *_: 1 / 0)
    outcome = await quick.call("scripted", {})
    assert outcome.text == "scripted failed: ZeroDivisionError: division by zero"
    assert "went wrong on its way" in caplog.text


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["x"] = circle
    return circle


def _deep() -> dict[str, Any]:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    return {"x": deep}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (_circle(), "cannot be told in JSON"),
        (_deep(), "cannot be told in JSON"),
        ({1: 2, "1": 3, None: 4}, "cannot be told in JSON"),
        ("[" * 100_000, "are not JSON"),
        ("nonsense", "are not JSON"),
        ("[1]", "one JSON object"),
        ([1], "one JSON object"),
        (5, "one JSON object"),
    ],
)
async def test_hostile_arguments_are_refused_in_words(arguments: Any, said: str) -> None:
    tool = Scripted("done")
    outcome = await Quick(tool).call("scripted", arguments)
    assert outcome.error_type == "InvalidArguments"
    assert said in outcome.text
    assert not tool.calls


async def test_half_a_character_becomes_a_whole_one() -> None:
    tool = Scripted("done")
    outcome = await Quick(tool).call("scripted", '{"x": "a\\ud800b"}')
    assert outcome.value == "done"
    assert tool.calls[0].arguments == {"x": "a?b"}
    await Quick(tool).call("scripted", {"x": "gr\u00fc\u00df"})
    assert tool.calls[1].arguments == {"x": "gr\u00fc\u00df"}


async def test_output_that_nobody_watches_costs_nothing() -> None:
    async def talk(call: Any) -> str:
        call.emit(OutputChunk("stdout", b"hello"))
        return "said"

    assert (await Quick(Scripted(talk)).call("scripted", {})).value == "said"


async def test_a_quiet_call_starts_no_task_for_its_output() -> None:
    async def count(call: Any) -> int:
        return len(asyncio.all_tasks())

    before = len(asyncio.all_tasks())
    assert (await Quick(Scripted(count), live=[]).call("scripted", {})).value == before
