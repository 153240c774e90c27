"""What a run of the OpenAI Agents SDK streams, as events."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import mimetypes
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from codin.agent._parts import jsonable
from codin.agent.adapters._run import Run
from codin.agent.events import ArtifactProduced
from codin.ids import new_id

_LOOK_SECONDS = 0.05
_PNG = "data:image/png;base64,"
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_TEXTS = ("response.output_text.delta", "response.refusal.delta")


class Reader:
    """Tells a run what the SDK streams. ``rejected`` are the ids of calls that nobody approved."""

    def __init__(self, run: Run, rejected: frozenset[str]) -> None:
        self._run = run
        self._rejected = rejected
        self._result: Any = None
        self._counted = (0, 0)
        self._model = ""
        self._messages: dict[int, str] = {}
        self._thought = False
        self._responses = 0
        self._ended = 0
        self._progress = asyncio.Event()

    def begin(self, result: Any) -> None:
        """Read ``result``; a run that goes on has used something before."""
        self._result = result
        self._counted = self._used

    async def told(self) -> None:
        """Wait until the response that the model has ended was told whole."""
        self._ended += 1
        ended = self._ended
        # The SDK stops reading when a guardrail trips, and wakes nobody who waits for that.
        while self._responses < ended and not self._result.is_complete:
            self._progress.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._progress.wait(), _LOOK_SECONDS)

    async def read(self, event: Any) -> None:
        if event.type == "raw_response_event":
            await self._raw(event.data)
        elif event.type == "run_item_stream_event":
            await self._count()
            await self._item(event.item)

    async def inner(self, items: Any) -> None:
        """Tell the calls of an agent that is a tool, of which it gives its model the results."""
        for item in items:
            if _get(item, "type") == "function_call":
                name = str(_get(item, "name") or "tool")
                await self._run.call(_call_id(item), name, _arguments(item))
            elif _get(item, "type") == "function_call_output":
                await self._run.result(_call_id(item), "", _get(item, "output"))

    async def end(self) -> None:
        """Tell the output that is no text."""
        await self._count()
        output = self._result.final_output
        if output is None or self._result.interruptions:
            return
        if isinstance(output, str):
            if output != self._run.last_text:
                await self._run.final(new_id(), output)
            return
        await self._run.emit(
            ArtifactProduced(
                artifact_id=new_id(),
                name=type(output).__name__,
                media_type="application/json",
                data=jsonable(output),
            )
        )

    async def _raw(self, data: Any) -> None:
        if data.type in _TEXTS:
            await self._run.delta(self._message(data.output_index), data.delta)
        elif data.type in _THOUGHTS:
            self._thought = True
            await self._run.thought(data.delta)
        elif data.type == "response.completed":
            await self._response(data.response)
            self._responses += 1
            self._progress.set()

    async def _response(self, response: Any) -> None:
        """The whole of what was streamed, or of what was not."""
        self._model = str(response.model or "")
        for index, item in enumerate(response.output):
            if item.type == "message":
                await self._run.final(self._message(index), _text(item))
            elif item.type == "reasoning" and not self._thought:
                await self._run.thought("".join(part.text for part in item.summary))
        await self._run.finish()
        self._messages.clear()
        self._thought = False

    def _message(self, index: int) -> str:
        # The chat API's messages all have one id in the SDK.
        return self._messages.setdefault(index, new_id())

    async def _item(self, item: Any) -> None:
        match item.type:
            case "tool_call_item":
                await self._called(item)
                raw = item.raw_item
                if _get(raw, "type") == "image_generation_call" and (made := _get(raw, "result")):
                    await self._file(_file_of({"type": "image", "image_url": f"{_PNG}{made}"}))
            case "tool_call_output_item":
                await self._returned(str(item.call_id), item.output)
            case "handoff_output_item":
                await self._run.hand_off(item.source_agent.name, item.target_agent.name)

    async def _called(self, item: Any) -> None:
        call_id = _call_id(item.raw_item) or new_id()
        await self._run.call(call_id, item.tool_name or "tool", _arguments(item.raw_item))

    async def _returned(self, call_id: str, output: Any) -> None:
        # A call that waited for approval was made in another run.
        for item in self._result.new_items:
            if item.type == "tool_call_item" and _call_id(item.raw_item) == call_id:
                await self._called(item)
        parts = output if isinstance(output, list) else [output]
        files = [(part, _file_of(part)) for part in parts]
        content = [f"the file {file['name']}" if file else part for part, file in files]
        whole = content if isinstance(output, list) else content[0]
        await self._run.result(call_id, "", whole, is_error=call_id in self._rejected)
        for _, file in files:
            await self._file(file)

    async def _file(self, file: dict[str, Any] | None) -> None:
        if file is not None:
            await self._run.emit(ArtifactProduced(artifact_id=new_id(), **file))

    async def _count(self) -> None:
        """Tell what was used since the last time: the run's count goes up, with that of agents
        that are tools."""
        before, self._counted = self._counted, self._used
        await self._run.usage(
            self._model, self._counted[0] - before[0], self._counted[1] - before[1]
        )

    @property
    def _used(self) -> tuple[int, int]:
        usage = self._result.context_wrapper.usage
        return usage.input_tokens, usage.output_tokens


def _text(message: Any) -> str:
    return "".join(str(_get(p, "text") or _get(p, "refusal") or "") for p in message.content)


def _get(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, Mapping) else getattr(raw, name, None)


def _call_id(raw: Any) -> str:
    return str(_get(raw, "call_id") or _get(raw, "id") or "")


def _arguments(raw: Any) -> dict[str, Any]:
    given = _get(raw, "arguments")
    if not isinstance(given, str):
        return {}
    try:
        read = json.loads(given or "{}")
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"arguments": given}


def _file_of(part: Any) -> dict[str, Any] | None:
    """The file that a tool gave to its model: name, type, and bytes or URL. None for all else."""
    kind = _get(part, "type")
    if kind == "file":
        given, name = _get(part, "file_data"), _get(part, "filename")
    elif kind == "image":
        given, name = _get(part, "image_url"), None
    else:
        return None
    given = given or _get(part, "file_url")
    if not isinstance(given, str):
        return None
    media_type, raw = _content(given)
    if raw is None:
        name = name or urlsplit(given).path.rpartition("/")[2]
    media_type = media_type or mimetypes.guess_type(name or "")[0] or "application/octet-stream"
    name = name or f"{kind}{mimetypes.guess_extension(media_type) or ''}"
    found: dict[str, Any] = {"name": name, "media_type": media_type}
    return {**found, "url": given} if raw is None else {**found, "raw": raw}


def _content(given: str) -> tuple[str, bytes | None]:
    """The type, as far as it is said, and the bytes of a data URL or of base64; none of a URL."""
    if given.startswith(("http://", "https://")):
        return "", None
    head, comma, body = given.rpartition(",")
    try:
        raw = base64.b64decode(body, validate=True)
    except binascii.Error:
        raw = body.encode()
    return head.removeprefix("data:").partition(";")[0] if comma else "", raw
