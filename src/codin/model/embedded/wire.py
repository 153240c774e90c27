"""The embedded model's turns in the words of the OpenAI chat protocol."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from codin.model.embedded.shim import CallMade, Finished, Shim, TextDelta

_ARGUMENT_CHARS = 64


async def completion(shim: Shim, body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A whole ``chat.completion``."""
    text: list[str] = []
    calls: list[dict[str, Any]] = []
    end = Finished("stop", 0, 0, 0)
    async with aclosing(shim.turn(body)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                text.append(event.text)
            elif isinstance(event, CallMade):
                calls.append(_call(event))
            else:
                end = event
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text) or None}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": end.reason, "logprobs": None}
    return {**_head("chat.completion", model), "choices": [choice], "usage": _usage(end)}


async def chunks(shim: Shim, body: Mapping[str, Any], model: str) -> AsyncGenerator[dict[str, Any]]:
    """The ``chat.completion.chunk`` objects of a streamed answer; the last one has the usage."""
    head = _head("chat.completion.chunk", model)
    yield {**head, "choices": [_choice({"role": "assistant", "content": ""})]}
    async with aclosing(shim.turn(body)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                yield {**head, "choices": [_choice({"content": event.text})]}
            elif isinstance(event, CallMade):
                for delta in _call_deltas(event):
                    yield {**head, "choices": [_choice({"tool_calls": [delta]})]}
            else:
                yield {**head, "choices": [_choice({}, event.reason)]}
                yield {**head, "choices": [], "usage": _usage(event)}


def _head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _call(event: CallMade) -> dict[str, Any]:
    function = {"name": event.name, "arguments": event.arguments}
    return {"id": event.id, "type": "function", "function": function}


def _call_deltas(event: CallMade) -> list[dict[str, Any]]:
    call = _call(event)
    head = {**call, "index": 0, "function": {"name": event.name, "arguments": ""}}
    pieces = range(0, len(event.arguments), _ARGUMENT_CHARS)
    return [
        head,
        *(
            {"index": 0, "function": {"arguments": event.arguments[i : i + _ARGUMENT_CHARS]}}
            for i in pieces
        ),
    ]


def _usage(end: Finished) -> dict[str, Any]:
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.output_tokens,
        "total_tokens": end.prompt_tokens + end.output_tokens,
        "prompt_tokens_details": {"cached_tokens": end.cached_tokens},
    }
