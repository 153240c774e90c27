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
from google.protobuf.json_format import MessageToJson, Parse, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

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
    ],
)
def test_foreign_agents_say_it_once(responses: list[StreamResponse]) -> None:
    assert answer(responses) == ["It is 3."]


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
