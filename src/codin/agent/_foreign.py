"""What other frameworks' A2A servers say beside A2A, in metadata and data parts of their own.

ADK (google-adk 2.13) marks parts by ``adk_type`` and ``adk_thought``; Agno (agno 3.1.10) tells of
tools in the metadata of status updates; LangGraph's server (langgraph-api 0.16.7) has tools'
results as data, and what a graph asks as an artifact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from a2a.types import Artifact, Part, TaskStatusUpdateEvent
from google.protobuf.json_format import MessageToDict

from codin.agent._parts import part_value, plain_value
from codin.agent.events import AgentEvent, Thought, ToolCall, ToolResult, Usage


def is_thought(part: Part) -> bool:
    """Whether ``part`` is reasoning, and no part of an answer."""
    return _mark(part, "adk_thought") is True


def question_in(artifact: Artifact) -> str:
    """What a graph asks with ``artifact``; empty for one that is something made."""
    values = [part_value(part) for part in artifact.parts if part.HasField("data")]
    if artifact.name != "Interrupt" or not values or len(values) < len(artifact.parts):
        return ""
    asked = [v["value"] for v in values if isinstance(v, dict) and {"id", "value"} <= v.keys()]
    said = [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in asked]
    return "\n".join(said) if len(said) == len(values) else ""


def inside(update: TaskStatusUpdateEvent) -> Iterator[AgentEvent]:
    """What ``update`` tells of the inside of a run."""
    metadata = MessageToDict(update.metadata) if update.HasField("metadata") else {}
    yield from _by_agno(metadata)
    for part in update.status.message.parts:
        if part.HasField("data"):
            value = part_value(part)
            if isinstance(value, dict):
                yield from _by_adk(_mark(part, "adk_type"), value)
                yield from _by_langgraph(value)
        elif is_thought(part) and part.text:
            yield Thought(text=part.text)
    used = metadata.get("adk_usage_metadata")
    if isinstance(used, dict) and update.status.HasField("message"):
        counts = [used.get("promptTokenCount"), used.get("candidatesTokenCount")]
        asked, answered = (int(n) if isinstance(n, int | float) else 0 for n in counts)
        yield Usage(input_tokens=asked, output_tokens=answered)


def _by_adk(kind: Any, value: Mapping[str, Any]) -> Iterator[AgentEvent]:
    call_id, name = value.get("id"), value.get("name")
    if not (isinstance(call_id, str) and isinstance(name, str)) or name.startswith("adk_"):
        return
    if kind == "function_call":
        yield ToolCall(call_id=call_id, name=name, arguments=_object(value.get("args")))
    elif kind == "function_response":
        given = _object(value.get("response"))
        content = given["result"] if given.keys() == {"result"} else given
        failed = "error" in given
        yield ToolResult(call_id=call_id, name=name, content=content, is_error=failed)


def _by_agno(metadata: Mapping[str, Any]) -> Iterator[AgentEvent]:
    call_id, name = metadata.get("tool_call_id"), metadata.get("tool_name")
    if not (isinstance(call_id, str) and isinstance(name, str)):
        return
    if metadata.get("agno_event_type") == "tool_call_started":
        try:
            arguments = _object(json.loads(metadata.get("tool_args", "{}")))
        except (TypeError, ValueError):
            arguments = {}
        yield ToolCall(call_id=call_id, name=name, arguments=arguments)
    elif metadata.get("agno_event_type") == "tool_call_completed":
        yield ToolResult(call_id=call_id, name=name)  # of the result it says nothing


def _by_langgraph(value: Mapping[str, Any]) -> Iterator[AgentEvent]:
    results = value.get("tool_results")
    for one in results if isinstance(results, list) else []:
        if isinstance(one, dict) and isinstance(one.get("toolCallId"), str):
            yield ToolResult(
                call_id=one["toolCallId"],
                name=str(one.get("name") or ""),
                content=one.get("content"),
                is_error=one.get("status") == "error",
            )


def _mark(part: Part, key: str) -> Any:
    fields = part.metadata.fields
    return plain_value(fields[key]) if key in fields else None  # reading alone would add it


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
