"""Models that are asked with a record: by agents over HTTP, and by the platform's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import Response, StreamingResponse

from codin.model.base import CallContext, ChatMessage, ModelClient, ModelUsage
from codin.model.metering import MemoryMeter
from codin.model.record import Answer, ModelRecord

_DONE = b"[DONE]"
"""By this clients of OpenAI's API see the end of a stream; others see it by there being no more."""


async def answered(
    record: ModelRecord, task_id: str, asked: bytes, ask: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer of ``record`` to the HTTP request ``asked``, or what ``ask`` gives.

    That is kept before its end is sent: what comes of an answer must not be known before it is.
    """
    known = record.known(task_id, asked)
    if known is not None:
        return Response(known.body, media_type=known.media_type)
    response = await ask()
    if response.status_code != 200:
        return response
    media_type = response.headers.get("content-type", "")
    if isinstance(response, StreamingResponse):
        pieces = response.body_iterator

        async def passed() -> AsyncIterator[Any]:
            body, last = bytearray(), b""
            async for piece in pieces:
                if last:
                    yield last
                last = piece.encode() if isinstance(piece, str) else bytes(piece)
                body += last
                if _DONE not in last:
                    yield last
                    last = b""
            await record.keep(task_id, asked, Answer(media_type, bytes(body)))
            if last:
                yield last

        response.body_iterator = passed()
    else:
        await record.keep(task_id, asked, Answer(media_type, bytes(response.body)))
    return response


class RecordedMeter(MemoryMeter):
    """Counts in memory, and in ``record`` too."""

    def __init__(self, record: ModelRecord) -> None:
        super().__init__()
        self._record = record

    async def record(self, context: CallContext, usage: ModelUsage) -> None:
        await super().record(context, usage)
        await self._record.used(context.task_id, usage)


class RecordedModel(ModelClient):
    """``model``, asked by runs that may be made again."""

    def __init__(self, model: ModelClient, record: ModelRecord) -> None:
        self.choice = model.choice
        self._model = model
        self._record = record

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: Any = str,
        **options: Any,
    ) -> Any:
        """``ModelClient.generate``."""
        type_ = TypeAdapter(output)
        asked = json.dumps([list(map(asdict, messages)), type_.json_schema(), options]).encode()
        known = self._record.known(context.task_id, asked)
        if known is not None:
            return type_.validate_json(known.body)
        given = await self._model.generate(messages, context=context, output=output, **options)
        answer = Answer("application/json", type_.dump_json(given))
        await self._record.keep(context.task_id, asked, answer)
        return given

    def stream(
        self, messages: Sequence[ChatMessage], *, context: CallContext, **options: Any
    ) -> AsyncIterator[str]:
        """``ModelClient.stream``; what is streamed is not kept."""
        return self._model.stream(messages, context=context, **options)
