"""What a run that is made again says: as if it had never been stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    HandOff,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.task._told import Told

Line = Sequence[AgentEvent]


def message(key: str, pieces: Sequence[str], whole: bool) -> list[AgentEvent]:
    said: list[AgentEvent] = [TextDelta(message_id=key, text=piece) for piece in pieces]
    return [*said, TextFinal(message_id=key, text="".join(pieces))] if whole or not said else said


def called(key: str, name: str) -> list[AgentEvent]:
    return [ToolCall(call_id=key, name=name), ToolResult(call_id=key, name=name, content=name * 2)]


@st.composite
def runs(draw: st.DrawFn) -> list[AgentEvent]:
    """What an agent says in one run; each message and call has an id of its own."""
    said: list[AgentEvent] = []
    for number in range(draw(st.integers(0, 7))):
        words = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3)
        said += draw(
            st.one_of(
                st.builds(message, st.just(f"m{number}"), words, st.booleans()),
                st.builds(called, st.just(f"c{number}"), st.sampled_from(["x", "y"])),
                st.sampled_from(["t", "tt"]).map(lambda text: [Thought(text=text)]),
                st.sampled_from(["f", "g"]).map(
                    lambda name, key=f"a{number}": [
                        ArtifactProduced(artifact_id=key, name=name, text=name)
                    ]
                ),
                st.just([Usage(model="m", input_tokens=1), HandOff(from_agent="a", to_agent="b")]),
            )
        )
    return said


def renamed(said: Line) -> list[AgentEvent]:
    """The same under other ids."""
    ids = ("message_id", "call_id", "artifact_id")
    return [
        event.model_copy(
            update={key: f"again-{getattr(event, key)}" for key in ids if hasattr(event, key)}
        )
        for event in said
    ]


def seen(said: Line) -> dict[str, Any]:
    """What somebody has seen in the end who saw ``said``."""
    texts: dict[str, str] = {}
    calls: dict[str, str] = {}
    results: dict[str, Any] = {}
    others: Counter[str] = Counter()
    thoughts = ""
    for event in said:
        match event:
            case TextDelta(message_id=key, text=text):
                texts[key] = texts.get(key, "") + text
            case TextFinal(message_id=key, text=text):
                texts[key] = text
            case ToolCall(call_id=key, name=name):
                assert key not in calls, "a call is told once"
                calls[key] = name
            case ToolResult(call_id=key, content=content):
                assert key in calls, "a result is that of a call"
                assert key not in results, "a result is told once"
                results[key] = content
            case Thought(text=text):
                thoughts += text
            case ArtifactProduced(name=name):
                others[name] += 1
            case _:
                others[event.kind] += 1
    return {
        "texts": list(texts.values()),
        "calls": [(name, results.get(key)) for key, name in calls.items()],
        "thoughts": thoughts,
        "others": others,
    }


def attempt(said: Line, before: Any = None, *, whole: bool = True) -> tuple[list[AgentEvent], Any]:
    told = Told(before)
    new = [one for event in said if (one := told.new(event)) is not None]
    return [*new, *(told.rest() if whole else ())], told.to_json()


@given(runs(), st.data())
def test_it_is_as_if_it_had_never_been_stopped(said: list[AgentEvent], data: st.DataObject) -> None:
    once = data.draw(st.integers(0, len(said)))
    twice = data.draw(st.integers(once, len(said)))
    first, kept = attempt(said[:once], whole=False)
    assert first == said[:once], "a run that is made for the first time is told as it is"
    second, kept = attempt(renamed(said)[:twice], kept, whole=False)
    third, _ = attempt(renamed(renamed(said)), kept)
    assert seen([*first, *second, *third]) == seen(said)


@given(runs(), runs())
def test_a_run_that_goes_another_way_is_told_whole(one: list[AgentEvent], two: Line) -> None:
    first, kept = attempt(one, whole=False)
    second, _ = attempt(renamed(two), kept)
    all_of_it, other = seen([*first, *second]), seen(two)
    assert not Counter(other["texts"]) - Counter(all_of_it["texts"])
    assert not Counter(name for name, _ in other["calls"]) - Counter(
        name for name, _ in all_of_it["calls"]
    )
    assert not other["others"] - all_of_it["others"]


def test_the_same_id_may_be_used_again() -> None:
    said = [*message("m", ["a"], True), *called("c", "x")]
    first, kept = attempt(said[:2], whole=False)
    second, _ = attempt(said, kept)
    assert second == said[2:]
    assert seen([*first, *second]) == seen(said)
