"""What is put together by hand is what the parser makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.types import StreamResponse
from google.protobuf.json_format import ParseDict, ParseError
from hypothesis import given, settings
from hypothesis import strategies as st

from codin.agent.a2a import EventEncoder, bare_status
from codin.agent.events import ArtifactProduced, Completed, Failed, TextDelta, TextFinal, ToolCall
from codin.task._messages import stream_response

words = st.text(max_size=20)
events = st.one_of(
    st.builds(TextDelta, message_id=words, text=words),
    st.builds(TextFinal, message_id=words, text=words),
    st.builds(ArtifactProduced, artifact_id=words, name=words, text=words),
    st.builds(ArtifactProduced, artifact_id=words, raw=st.binary(max_size=20)),
    st.builds(Completed, reply=words),
    st.builds(Failed, error_type=words, message=words),
    st.builds(ToolCall, call_id=words, name=words),
)


def parsed(body: dict[str, Any]) -> StreamResponse:
    response = StreamResponse()
    ParseDict(body, response, ignore_unknown_fields=True)
    return response


@settings(max_examples=60)
@given(st.lists(events, max_size=4))
def test_whatever_an_agent_says_is_the_same_either_way(said: list[Any]) -> None:
    encoder = EventEncoder("t", "c")
    for event in said:
        kind, body = encoder.encode_json(event)
        update = {f"{kind}Update": body}
        assert stream_response(update) == parsed(update)


STATUS = bare_status("TASK_STATE_WORKING")
TEXT = {"artifactId": "a", "parts": [{"text": "x"}], "metadata": {"codin": {"n": 1, "b": None}}}


@pytest.mark.parametrize(
    "body",
    [
        {"statusUpdate": {"taskId": "t", "contextId": "c", "status": STATUS}},
        {"statusUpdate": {"taskId": "t", "status": STATUS}},
        {"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": 2}}},
        {"statusUpdate": {"taskId": "t", "contextId": "c", "status": STATUS, "metadata": {"a": 1}}},
        {"statusUpdate": {"taskId": "t", "contextId": "c",
                          "status": {**STATUS, "timestamp": "2026-01-01T00:00:00Z"}}},
        {"statusUpdate": {"taskId": "t", "contextId": "c",
                          "status": {**STATUS, "timestamp": "2026-01-01T00:00:00.123456789Z"}}},
        {"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": TEXT}},
        {"artifactUpdate": {"artifact": {"parts": [{"text": ""}]}, "append": True}},
        {"artifactUpdate": {"artifact": {**TEXT, "name": "n"}, "lastChunk": True}},
        {"artifactUpdate": {"artifact": {"parts": [{"text": "x", "mediaType": "y"}]}}},
        {"artifactUpdate": {"artifact": {"parts": [{"text": "x"}, {"url": "y"}]}, "odd": 1}},
        {"task": {"id": "t"}},
        {},
    ],
)  # fmt: skip
def test_every_shape_is_read_as_the_parser_reads_it(body: dict[str, Any]) -> None:
    assert stream_response(body) == parsed(body)


def test_a_state_that_is_none_is_an_error_either_way() -> None:
    status = {**STATUS, "state": "TASK_STATE_ODD", "message": {}}
    with pytest.raises(ParseError):
        stream_response({"statusUpdate": {"taskId": 1, "contextId": "c", "status": status}})
