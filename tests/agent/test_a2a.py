"""What an agent says survives the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from a2a.types import (
    Artifact,
    Message,
    Part,
    Role,
    StreamResponse,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
)
from google.protobuf.json_format import MessageToDict, MessageToJson, Parse, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from codin.agent._parts import data_json
from codin.agent.a2a import EventDecoder, EventEncoder, agent_message, status_update, user_message
from codin.agent.a2a import data_part as make_data_part
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Canceled,
    Completed,
    Failed,
    HandOff,
    InputRequest,
    NewFacts,
    Rejected,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolOutput,
    ToolResult,
    Usage,
)

words = st.text(max_size=12)
names = st.text(min_size=1, max_size=8)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
data = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
counts = st.integers(0, 2**40)
artifacts = st.one_of(
    st.builds(ArtifactProduced, artifact_id=names, name=words, media_type=words, text=words),
    st.builds(ArtifactProduced, artifact_id=names, description=words, data=data),
    st.builds(ArtifactProduced, artifact_id=names, name=words, raw=st.binary(max_size=20)),
    st.builds(ArtifactProduced, artifact_id=names, name=words, url=words),
)
middles = st.one_of(
    st.builds(TextDelta, message_id=names, text=words),
    st.builds(TextFinal, message_id=names, text=words),
    st.builds(Thought, text=words),
    st.builds(
        ToolCall, call_id=words, name=words, arguments=st.dictionaries(words, data, max_size=3)
    ),
    st.builds(
        ToolOutput,
        call_id=words,
        name=words,
        stream=st.sampled_from(["stdout", "stderr", "progress"]),
        text=words,
    ),
    st.builds(ToolResult, call_id=words, name=words, content=data, is_error=st.booleans()),
    st.builds(HandOff, from_agent=words, to_agent=words),
    st.builds(NewFacts, text=names),
    st.builds(Usage, model=words, input_tokens=counts, output_tokens=counts),
    artifacts,
)
ends = st.one_of(
    st.just(Completed()),
    st.builds(Failed, error_type=names, message=words),
    st.builds(Canceled, message=words),
    st.builds(Rejected, message=words),
    st.builds(
        InputRequest,
        request_id=words,
        prompt=words,
        answer_schema=st.none() | st.dictionaries(words, data, max_size=2),
        request_kind=st.sampled_from(["input", "approval", "auth"]),
    ),
)
runs = st.lists(middles, max_size=8).flatmap(
    lambda body: st.none() | ends.map(lambda end: [*body, end])
)


def over_the_wire(response: StreamResponse) -> StreamResponse:
    return Parse(MessageToJson(response), StreamResponse())


def through(events: list[AgentEvent]) -> list[AgentEvent]:
    encoder, decoder = EventEncoder("t1", "c1"), EventDecoder()
    return [
        back
        for event in events
        for response in encoder.encode(event)
        for back in decoder.decode(over_the_wire(response))
    ]


@settings(deadline=None, max_examples=150)
@given(middles | ends)
def test_every_event_comes_back(event: AgentEvent) -> None:
    assert through([event]) == [event]


@given(st.dictionaries(words, data, max_size=3))
def test_a_data_part_as_json_is_the_data_part(payload: dict[str, object]) -> None:
    assert data_json(payload) == MessageToDict(make_data_part(payload))


@settings(deadline=None, max_examples=150)
@given(runs.filter(bool))
def test_every_run_comes_back(events: list[AgentEvent]) -> None:
    assert through(events) == events


@settings(deadline=None)
@given(st.lists(middles | ends, max_size=8))
def test_what_is_written_as_json_is_what_is_said(events: list[AgentEvent]) -> None:
    at = datetime(2026, 11, 22, 10, 30, 0, 123000, tzinfo=UTC)
    one, other = (EventEncoder("t", "c", now=lambda: at) for _ in range(2))
    for event in events:
        kind, body = one.encode_json(event)
        written = ParseDict({f"{kind}Update": body}, StreamResponse())
        [said] = other.encode(event)
        for response in (written, said):
            if response.HasField("status_update"):
                response.status_update.status.message.message_id = ""
        assert written == said


def test_numbers_keep_their_kind_and_their_digits() -> None:
    arguments = {"count": 3, "share": 0.5, "big": 2**63 + 1, "flag": True, "nested": {"n": 7}}
    (event,) = through([ToolCall(call_id="1", name="f", arguments=arguments)])
    assert isinstance(event, ToolCall)
    assert json.dumps(event.arguments, sort_keys=True) == json.dumps(arguments, sort_keys=True)


def test_deep_data_comes_back() -> None:
    deep: object = "end"
    for _ in range(120):
        deep = [deep]
    event = ToolResult(call_id="1", name="f", content={"deep": deep})
    assert through([event]) == [event]


def test_what_is_not_json_is_made_so_and_never_breaks_the_stream() -> None:
    call = ToolCall(call_id="1", name="f\ud800", arguments={"n": float("nan"), "b": b"\xff"})
    (event,) = through([call])
    assert isinstance(event, ToolCall)
    assert event.name == "f?"
    assert event.arguments["n"] is None
    result = ToolResult(call_id="1", name="f", content={"o": object(), "t": (1, 2)})
    (event,) = through([result])
    assert isinstance(event, ToolResult)
    assert event.content["t"] == [1, 2]


def test_text_is_an_artifact_a_message_with_append_semantics() -> None:
    encoder = EventEncoder("t1", "c1")
    events = [
        TextDelta(message_id="m", text="It "),
        TextDelta(message_id="m", text="is"),
        TextFinal(message_id="m", text="It is 3."),
        TextDelta(message_id="n", text="Next"),
    ]
    updates = [r.artifact_update for e in events for r in encoder.encode(e)]
    assert [(u.artifact.artifact_id, u.append, u.last_chunk) for u in updates] == [
        ("text-m", False, False),
        ("text-m", True, False),
        ("text-m", False, True),
        ("text-n", False, False),
    ]
    assert all(u.artifact.metadata["codin"]["type"] == "text" for u in updates)
    assert all(u.task_id == "t1" and u.context_id == "c1" for u in updates)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Completed(), TaskState.TASK_STATE_COMPLETED),
        (Failed(error_type="E", message="no"), TaskState.TASK_STATE_FAILED),
        (Canceled(), TaskState.TASK_STATE_CANCELED),
        (Rejected(message="no"), TaskState.TASK_STATE_REJECTED),
        (InputRequest(request_id="r", prompt="which?"), TaskState.TASK_STATE_INPUT_REQUIRED),
        (
            InputRequest(request_id="r", prompt="log in", request_kind="auth"),
            TaskState.TASK_STATE_AUTH_REQUIRED,
        ),
        (Thought(text="hm"), TaskState.TASK_STATE_WORKING),
    ],
)
def test_states(event: AgentEvent, state: TaskState) -> None:
    (response,) = EventEncoder("t", "c").encode(event)
    assert response.status_update.status.state == state
    assert response.status_update.status.HasField("timestamp")


def working(text: str) -> StreamResponse:
    message = agent_message([Part(text=text)])
    return status_update("t", "c", TaskState.TASK_STATE_WORKING, message)


def completed(text: str = "") -> StreamResponse:
    message = agent_message([Part(text=text)]) if text else None
    return status_update("t", "c", TaskState.TASK_STATE_COMPLETED, message)


def artifact(text: str, *, append: bool = False, last: bool = False) -> StreamResponse:
    update = TaskArtifactUpdateEvent(
        artifact=Artifact(artifact_id="a", parts=[Part(text=text)]), append=append, last_chunk=last
    )
    return StreamResponse(artifact_update=update)


def piece(text: str) -> StreamResponse:
    """A bare message among a task's updates, as Agno streams (agno 3.1.10)."""
    return StreamResponse(message=Message(message_id="m", parts=[Part(text=text)]))


def ended(*, history: str = "", artifact: str = "") -> StreamResponse:
    """A task as it is fetched, with its answer in its history or in an artifact."""
    task = Task(id="t", status=TaskStatus(state=TaskState.TASK_STATE_COMPLETED))
    task.history.add(message_id="q", role=Role.ROLE_USER, parts=[Part(text="?")])
    if history:
        task.history.add(message_id="m", role=Role.ROLE_AGENT, parts=[Part(text=history)])
    if artifact:
        task.artifacts.add(artifact_id="a", parts=[Part(text=artifact)])
    return StreamResponse(task=task)


def answer(responses: list[StreamResponse]) -> list[str]:
    """The texts a reader ends with, a message each; the last event must be the end."""
    decoder = EventDecoder()
    events = [event for response in responses for event in decoder.decode(response)]
    assert isinstance(events[-1], Completed)
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            texts[event.message_id] = texts.get(event.message_id, "") + event.text
        if isinstance(event, TextFinal):
            texts[event.message_id] = event.text
    return list(texts.values())


@pytest.mark.parametrize(
    "responses",
    [
        [artifact("It is 3."), completed()],
        [artifact("It "), artifact("is 3.", append=True, last=True), completed()],
        [artifact("It i"), artifact("It is 3.", last=True), completed()],
        [working("It "), working("is 3."), completed()],
        [working("It "), working("It is"), working("It is 3."), completed()],
        [working("It is 3."), artifact("It is 3."), completed()],
        [working("It "), working("is 3."), artifact("It is 3.", last=True), completed()],
        [artifact("It is 3.", last=True), completed("It is 3.")],
        [artifact("It is 3.", last=True), working("It is 3."), completed()],
        [working("It is"), completed("It is 3.")],
        [completed("It is 3.")],
        [StreamResponse(), completed("It is 3.")],
        [StreamResponse(message=Message(message_id="m", parts=[Part(text="It is 3.")]))],
        [StreamResponse(task=Task(id="t")), artifact("It is 3."), completed()],
        [StreamResponse(task=Task(id="t")), piece("It "), piece("is 3."), completed()],
        [working("It is 3."), artifact("It is 3.\n"), completed()],
        [working("It "), working("is 3."), artifact("It is 3.\n"), completed("It is 3.")],
        [StreamResponse(task=Task(id="t")), piece("It "), ended(history="It is 3.")],
        [working("It"), ended(history="It is 3.")],
        [ended(history="It is 3.")],
        [artifact("It "), artifact("", append=True), ended(artifact="It is 3.")],
    ],
)
def test_foreign_agents_say_it_once(responses: list[StreamResponse]) -> None:
    assert answer(responses) == ["It is 3."]


def test_messages_that_grow_are_told_apart() -> None:
    grown = ["Let", "Let me look.", "It", "It is 3."]
    assert answer([*map(working, grown), artifact("It is 3."), completed()]) == [
        "Let me look.",
        "It is 3.",
    ]


def test_pieces_that_look_like_a_text_that_grows() -> None:
    pieces = ["1", "1", "10", " is a number"]
    assert answer([*map(working, pieces[:3]), artifact("1110"), completed()]) == ["1110"]
    assert answer([*map(working, pieces), artifact("1110 is a number"), completed()])[-1] == (
        "1110 is a number"
    )


def test_what_others_tell_of_the_inside_of_a_run() -> None:
    def told(parts: list[Part], **metadata: object) -> list[AgentEvent]:
        update = status_update("t", "c", TaskState.TASK_STATE_WORKING, agent_message(parts))
        update.status_update.metadata.update(metadata)
        return EventDecoder().decode(update)

    def adk(kind: str, **payload: object) -> Part:
        part = make_data_part(payload)
        part.metadata.update({"adk_type": kind})
        return part

    thought = Part(text="hm")
    thought.metadata.update({"adk_thought": True})
    used = {"promptTokenCount": 3, "candidatesTokenCount": 4}
    call = adk("function_call", id="1", name="add", args={"a": 1})
    assert told([thought, call], adk_usage_metadata=used) == [
        Thought(text="hm"),
        ToolCall(call_id="1", name="add", arguments={"a": 1}),
        Usage(input_tokens=3, output_tokens=4),
    ]
    assert told([adk("function_response", id="1", name="add", response={"result": 3})]) == [
        ToolResult(call_id="1", name="add", content=3)
    ]
    assert told([adk("function_response", id="1", name="add", response={"error": "no"})]) == [
        ToolResult(call_id="1", name="add", content={"error": "no"}, is_error=True)
    ]
    assert told([adk("function_call", id="1", name="adk_request_confirmation")]) == []
    plain = Part(text="no mark", metadata={"other": 1})
    update = status_update("t", "c", TaskState.TASK_STATE_WORKING, agent_message([plain]))
    EventDecoder().decode(update)
    assert list(update.status_update.status.message.parts[0].metadata) == ["other"]
    agno = {"tool_name": "add", "tool_call_id": "1", "tool_args": '{"a": 1}'}
    assert told([], agno_event_type="tool_call_started", **agno) == [
        ToolCall(call_id="1", name="add", arguments={"a": 1})
    ]
    assert told([], agno_event_type="tool_call_completed", **agno) == [
        ToolResult(call_id="1", name="add")
    ]
    results = [{"toolCallId": "1", "name": "add", "content": "3", "status": "success"}, "x"]
    assert told([make_data_part({"tool_results": results})]) == [
        ToolResult(call_id="1", name="add", content="3")
    ]
    for nonsense in ({"tool_results": 1}, {"tool_results": [{"toolCallId": 1}]}):
        assert told([make_data_part(nonsense)]) == []


def test_an_artifact_may_repeat_the_last_message_only() -> None:
    said = ["Let me ", "look.\n", "It is ", "3."]
    assert answer([*map(working, said), artifact("It is 3.\n"), completed()]) == [
        "Let me look.",
        "It is 3.\n",
    ]


def test_the_last_words_are_the_answer() -> None:
    assert answer([working("Looking it up"), completed("It is 3.")])[-1] == "It is 3."
    decoder = EventDecoder()
    responses = [working("Looking it up"), completed("It is 3.")]
    finals = [e for r in responses for e in decoder.decode(r) if isinstance(e, TextFinal)]
    assert [event.text for event in finals] == ["Looking it up", "It is 3."]


def test_what_a_graph_asks_is_in_an_artifact() -> None:
    """As langgraph-api 0.16.7 has it."""
    asked = make_data_part({"id": "1", "value": {"city?": ["Rome", "Paris"]}})
    update = TaskArtifactUpdateEvent(
        artifact=Artifact(artifact_id="a", name="Interrupt", parts=[asked])
    )
    decoder = EventDecoder()
    assert decoder.decode(StreamResponse(artifact_update=update)) == []
    (request,) = decoder.decode(status_update("t", "c", TaskState.TASK_STATE_INPUT_REQUIRED))
    assert isinstance(request, InputRequest)
    assert request.prompt == '{"city?": ["Rome", "Paris"]}'


def test_reasoning_in_the_history_is_no_answer() -> None:
    (thought,) = EventEncoder("t", "c").encode(Thought(text="hm"))
    task = ended().task
    task.history.append(thought.status_update.status.message)
    assert EventDecoder().decode(StreamResponse(task=task)) == [Completed()]


def test_agnos_reasoning_is_a_thought() -> None:
    decoder = EventDecoder()
    decoder.decode(StreamResponse(task=Task(id="t")))
    reasoning = piece("hm")
    reasoning.message.metadata.update({"agno_content_category": "reasoning"})
    assert decoder.decode(reasoning) == [Thought(text="hm")]


def test_a_stream_can_be_closed_as_completed() -> None:
    decoder = EventDecoder()
    assert not decoder.said
    decoder.decode(working("It is 3."))
    assert decoder.said
    assert decoder.close() == [TextFinal(message_id="status", text="It is 3."), Completed()]
    assert decoder.close() == []


def test_a_finished_task_is_the_whole_answer() -> None:
    parts = [Part(text="It "), Part(text="is 3.")]
    task = Task(id="t", status=TaskStatus(state=TaskState.TASK_STATE_COMPLETED))
    task.artifacts.add(artifact_id="a", parts=parts)
    task.artifacts.add(artifact_id="f", name="x.png", parts=[Part(raw=b"png", filename="x.png")])
    events = EventDecoder().decode(StreamResponse(task=task))
    assert events == [
        TextFinal(message_id="a", text="It is 3."),
        ArtifactProduced(artifact_id="f", name="x.png", raw=b"png"),
        Completed(),
    ]


def test_a_fetched_task_fills_in_only_what_the_broken_stream_lacked() -> None:
    encoder, decoder = EventEncoder("t", "c"), EventDecoder()
    made = ArtifactProduced(artifact_id="f", name="x", text="file")
    said = [
        *encoder.encode(TextFinal(message_id="m", text="First.")),
        *encoder.encode(made),
        *encoder.encode(TextDelta(message_id="n", text="Sec")),
    ]
    for response in said:
        decoder.decode(response)
    rest = encoder.encode(TextDelta(message_id="n", text="ond."))
    task = Task(id="t", status=TaskStatus(state=TaskState.TASK_STATE_COMPLETED))
    for response in [said[0], said[1]]:
        task.artifacts.append(response.artifact_update.artifact)
    second = said[2].artifact_update.artifact
    second.parts.extend(rest[0].artifact_update.artifact.parts)
    task.artifacts.append(second)
    assert decoder.decode(StreamResponse(task=task)) == [
        TextFinal(message_id="n", text="Second."),
        Completed(),
    ]
    assert decoder.ended


def test_a_task_that_goes_on_says_nothing_yet() -> None:
    task = Task(id="t", status=TaskStatus(state=TaskState.TASK_STATE_WORKING))
    task.artifacts.add(artifact_id="a", parts=[Part(text="old")])
    assert EventDecoder().decode(StreamResponse(task=task)) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "plan", "plan": {}},
        {"type": "tool_call"},
        {"type": "tool_call", "call_id": 1, "name": [], "arguments": "x"},
        {"type": "completed"},
        {"no": "type"},
    ],
)
def test_unknown_and_malformed_data_parts_are_left_out(payload: dict[str, object]) -> None:
    message = agent_message([make_data_part(payload)])
    response = status_update("t", "c", TaskState.TASK_STATE_WORKING, message)
    assert EventDecoder().decode(response) == []


def test_ends_of_foreign_agents_are_told() -> None:
    def end(state: TaskState, text: str = "") -> AgentEvent:
        message = agent_message([Part(text=text)]) if text else None
        return EventDecoder().decode(status_update("t", "c", state, message))[-1]

    assert end(TaskState.TASK_STATE_FAILED, "broke") == Failed(
        error_type="AgentFailed", message="broke"
    )
    assert "no reason" in repr(end(TaskState.TASK_STATE_FAILED))
    assert "no reason" in repr(end(TaskState.TASK_STATE_REJECTED))
    assert end(TaskState.TASK_STATE_CANCELED) == Canceled()
    asked = end(TaskState.TASK_STATE_INPUT_REQUIRED, "which?")
    assert isinstance(asked, InputRequest)
    assert asked.prompt == "which?"


def test_nothing_follows_the_end() -> None:
    decoder = EventDecoder()
    decoder.decode(completed())
    assert decoder.decode(artifact("late")) == []


def test_user_message() -> None:
    message = user_message("hello", context_id="c", task_id="t", parts=[Part(raw=b"x")])
    assert message.role == Role.ROLE_USER
    assert [p.WhichOneof("content") for p in message.parts] == ["text", "raw"]
    assert (message.context_id, message.task_id) == ("c", "t")
    assert message.message_id != user_message("hello").message_id


def test_what_is_nested_without_end_is_told_as_far_as_it_goes() -> None:
    deep: dict[str, object] = {}
    for _ in range(1_000):
        deep = {"in": deep}
    ring: dict[str, object] = {"name": "ring"}
    ring["in"] = [ring, ring]
    for arguments in (deep, ring):
        (told,) = through([ToolCall(call_id="c", name="t", arguments=arguments)])
        assert isinstance(told, ToolCall)
        assert told.name == "t"
        assert "[what is nested deeper is left out]" in str(told.arguments)
