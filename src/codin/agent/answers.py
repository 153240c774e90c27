"""Answers to input requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a2a.types import Message
from google.protobuf.json_format import MessageToDict

from codin.agent._parts import part_value
from codin.agent.a2a import MARK, user_message
from codin.agent.adapters._message import prompt

_QUESTION = "question"
_YES = frozenset({"y", "yes", "ok", "okay", "true", "approve", "approved", "confirm", "confirmed"})


def answer(message: Message) -> Any:
    """The answer to an input request: ``answer`` of a data part ``input_response``, or the text."""
    for part in message.parts:
        value = part_value(part) if part.HasField("data") else None
        if isinstance(value, dict) and value.get("type") == "input_response":
            rest = {k: v for k, v in value.items() if k not in {"type", "id", "request_id"}}
            return rest.get("answer", rest)
    texts = [part.text for part in message.parts if part.HasField("text")]
    return "\n".join(texts) if texts else prompt(message)


def answering(text: str, task_id: str, question: str = "") -> Message:
    """The message that answers the task with ``text``; ``question`` is the id of the request that
    it answers, for a task that may be asking something else by now."""
    named = {MARK: {_QUESTION: question}} if question else None
    return user_message(text, task_id=task_id, metadata=named)


def question_of(message: Message) -> str:
    """The id of the request that ``message`` says it answers: ``request_id`` of a data part
    ``input_response``, or what ``answering`` put there. Empty when it does not say."""
    for part in message.parts:
        value = part_value(part) if part.HasField("data") else None
        if isinstance(value, dict) and value.get("type") == "input_response":
            return str(value.get("request_id") or "")
    mark = MessageToDict(message.metadata).get(MARK)
    return str(mark.get(_QUESTION) or "") if isinstance(mark, dict) else ""


def approves(given: Any) -> bool:
    """Whether an answer to a request for approval says yes: true, a word of consent, or an object
    whose ``confirmed`` or ``approved`` is one of these. All else is no."""
    if isinstance(given, Mapping):
        given = given.get("confirmed", given.get("approved", False))
    return given if isinstance(given, bool) else str(given).strip().lower() in _YES
