"""What the adapters share: a run as it is told, and what messages say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from a2a.types import Part

from codin.agent import AgentError
from codin.agent.a2a import agent_message, data_part, text_part, user_message
from codin.agent.adapters._message import attachments, past, prompt
from codin.agent.adapters._run import Run
from codin.agent.answers import answer, approves
from codin.agent.events import (
    AgentEvent,
    Failed,
    TextDelta,
    Thought,
)
from codin.testing.agent_conformance import task_for


async def test_reasoning_is_told_as_thoughts() -> None:
    from types import SimpleNamespace

    from langchain_core.messages import AIMessageChunk

    from codin.agent.adapters.agno import reader as _agno_reader
    from codin.agent.adapters.langgraph import reader as _langgraph_reader

    heard: list[AgentEvent] = []

    async def hear(event: AgentEvent) -> None:
        heard.append(event)

    blocks: Any = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Yes."}]
    chunks = [
        AIMessageChunk(content=blocks, id="1"),
        AIMessageChunk("Yes.", additional_kwargs={"reasoning_content": "Hm."}, id="2"),
    ]
    for chunk in chunks:
        await _langgraph_reader.Reader(Run(hear), "a").read((), "messages", (chunk, {}))
    content = SimpleNamespace(
        event="RunContent", run_id="1", reasoning_content="Hm.", content="Yes."
    )
    await _agno_reader.Reader(Run(hear), "1", 3).read(content)
    assert [e.text for e in heard if isinstance(e, Thought)] == ["Hm."] * 3
    assert [e.text for e in heard if isinstance(e, TextDelta)] == ["Yes."] * 3


async def test_a_run_says_everything_once_and_closes_what_it_opened() -> None:
    heard: list[AgentEvent] = []

    async def hear(event: AgentEvent) -> None:
        heard.append(event)

    run = Run(hear)
    for _ in range(2):
        await run.call("1", "f", {"x": object()})
        await run.result("1", "f", {1, 2})
        await run.final("m", "done")
    await run.result("2", "g", "late")
    await run.delta("n", "open")
    await run.delta("n", "")
    await run.emit(Failed(error_type="E", message="m"))
    assert [e.kind for e in heard] == [
        "tool_call",
        "tool_result",
        "text_final",
        "tool_call",
        "tool_result",
        "text_delta",
        "text_final",
        "failed",
    ]


def test_a_message_is_read_by_its_text_its_data_and_its_files_of_text() -> None:
    payload = data_part({"rows": 3})
    table = Part(raw=b"a,b\n1,2", media_type="text/csv", filename="t.csv")
    said = prompt(user_message("look", parts=[payload, table]))
    assert said == 'look\n{"rows": 3}\nThe file t.csv:\na,b\n1,2'


def test_files_that_no_model_can_read_are_refused_by_name() -> None:
    picture = Part(raw=b"\x89PNG", media_type="image/png", filename="p.png")
    message = user_message("look", parts=[picture, Part(raw=b"x", media_type="text/plain")])
    (file,) = attachments(message, reads=["image"])
    assert (file.name, file.data_url) == ("p.png", "data:image/png;base64,iVBORw==")
    with pytest.raises(AgentError, match=r"'p\.png' \(image/png\): it reads text, data"):
        attachments(message)


@pytest.mark.parametrize(
    ("given", "yes"),
    [("Yes", True), (True, True), ({"confirmed": True}, True), ({}, False), ("why?", False)],
)
def test_consent_is_told_from_all_else(given: Any, yes: bool) -> None:
    assert approves(given) is yes


def test_data_alone_is_read_too() -> None:
    payload = data_part({"rows": 3})
    assert json.loads(prompt(user_message(parts=[payload]))) == {"rows": 3}
    assert answer(user_message("yes", parts=[payload])) == "yes"
    given = data_part({"type": "input_response", "id": "1", "answer": [1]})
    assert answer(user_message(parts=[given])) == [1]
    fields = data_part({"type": "input_response", "id": "1", "confirmed": True})
    assert answer(user_message(parts=[fields])) == {"confirmed": True}


def test_the_past_leaves_out_the_message_itself_and_what_says_nothing() -> None:
    task = task_for("now", history=[user_message("a"), agent_message([text_part("b")])])
    empty = user_message()

    task = replace(task, history=(*task.history, empty, task.message))
    assert past(task) == [("user", "a"), ("assistant", "b")]
