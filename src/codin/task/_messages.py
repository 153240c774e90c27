"""A2A's messages of what a log says, from its JSON.

What agents say most is put together by hand: the parser for all of A2A takes several times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from a2a.types import (
    Artifact,
    Part,
    StreamResponse,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from google.protobuf.json_format import ParseDict

from codin.agent._parts import struct

_STAMP_CHARS = len("2026-01-01T00:00:00.000000Z")
_IDS = frozenset({"taskId", "contextId"})
_STATUS = _IDS | {"status"}
_BARE = frozenset({"state", "timestamp"})
_ARTIFACT = _IDS | {"artifact", "append", "lastChunk"}
_TEXT = frozenset({"artifactId", "parts", "metadata"})


def stream_response(body: Mapping[str, Any]) -> StreamResponse:
    """The message of ``body``, the JSON of a StreamResponse. What A2A does not know is left
    out."""
    match body:
        case {"statusUpdate": {"status": status} as update} if _says_state(update, status):
            return StreamResponse(status_update=_status(update))
        case {"artifactUpdate": {"artifact": {"parts": [{"text": str()} as part]}} as update} if (
            _says_text(update, part)
        ):
            return StreamResponse(artifact_update=_text(update, part["text"]))
    response = StreamResponse()
    ParseDict(dict(body), response, ignore_unknown_fields=True)
    return response


def _says_state(update: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether that is all it says."""
    bare = update.keys() == _STATUS and status.keys() == _BARE
    return bare and len(status["timestamp"]) == _STAMP_CHARS


def _says_text(update: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Whether that is all it says."""
    known = update.keys() <= _ARTIFACT and update["artifact"].keys() <= _TEXT
    return known and part.keys() == {"text"}


def _status(update: Mapping[str, Any]) -> TaskStatusUpdateEvent:
    given = update["status"]
    status = TaskStatus(state=TaskState.Value(given["state"]))
    status.timestamp.FromDatetime(datetime.fromisoformat(given["timestamp"]))
    return TaskStatusUpdateEvent(
        task_id=update["taskId"], context_id=update["contextId"], status=status
    )


def _text(update: Mapping[str, Any], text: str) -> TaskArtifactUpdateEvent:
    given = update["artifact"]
    artifact = Artifact(artifact_id=given.get("artifactId"), parts=[Part(text=text)])
    if "metadata" in given:
        artifact.metadata.CopyFrom(struct(given["metadata"]))
    return TaskArtifactUpdateEvent(
        task_id=update.get("taskId"),
        context_id=update.get("contextId"),
        artifact=artifact,
        append=update.get("append"),
        last_chunk=update.get("lastChunk"),
    )
