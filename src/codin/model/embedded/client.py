"""The embedded model as the platform's own parts ask it: text, or output held to a schema."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from codin.model._deadline import limited
from codin.model.base import CallContext, ChatMessage, Meter, ModelClient, ModelUsage, Weigher
from codin.model.catalog import ModelChoice
from codin.model.embedded.upstream import EmbeddedUpstream
from codin.model.errors import BadModelOutput, ModelRefused, ModelTimeout
from codin.model.upstream import Upstream

T = TypeVar("T")

_REPAIRS = 1


class EmbeddedClient(ModelClient, Weigher):
    """Decoding is constrained by the output's JSON schema, so only values can be wrong; one
    repair round tells the model what validation said."""

    def __init__(self, choice: ModelChoice, upstream: Upstream, meter: Meter) -> None:
        self.choice = choice
        self._upstream = upstream
        self._meter = meter

    async def generate(  # type: ignore[override]
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: type[T] | type[str] = str,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> T | str:
        body = _body(messages, max_tokens, temperature)
        try:
            async with asyncio.timeout(timeout):
                if output is str:
                    return await self._complete(body, context)
                return cast("T", await self._structured(body, TypeAdapter(output), context))
        except TimeoutError:
            raise self._too_slow(timeout) from None

    async def weigh(
        self,
        messages: Sequence[ChatMessage],
        words: Sequence[str],
        *,
        context: CallContext,
        timeout: float | None = None,
    ) -> tuple[float, ...]:
        if not isinstance(self._upstream, EmbeddedUpstream):
            raise ModelRefused(f"{self._upstream.name} does not tell how likely words are")
        await self._meter.allow(context)
        started = time.monotonic()
        usage: dict[str, Any] = {}
        try:
            async with asyncio.timeout(timeout):
                likely, piece = await self._upstream.first_words(_body(messages, 1, 0)["messages"])
            usage = {
                "prompt_tokens": piece.prompt_tokens,
                "completion_tokens": piece.output_tokens,
                "prompt_tokens_details": {"cached_tokens": piece.cached_tokens},
            }
        except TimeoutError:
            raise self._too_slow(timeout) from None
        finally:
            await self._record(context, usage, started)
        wanted = [word.casefold() for word in words]
        return tuple(
            sum(share for token, share in likely.items() if token.strip().casefold() == word)
            for word in wanted
        )

    async def _structured(
        self, body: dict[str, Any], adapter: TypeAdapter[Any], context: CallContext
    ) -> Any:
        schema = {"name": "output", "schema": adapter.json_schema()}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
        wrong = ""
        for _ in range(1 + _REPAIRS):
            answer = await self._complete(body, context)
            try:
                return adapter.validate_json(answer)
            except ValidationError as error:
                wrong = _explain(error)
            body["messages"] += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": f"That is not valid: {wrong}. Give it corrected."},
            ]
        raise BadModelOutput(f"the {self.choice.label} gave no valid output: {wrong}")

    async def _complete(self, body: Mapping[str, Any], context: CallContext) -> str:
        await self._meter.allow(context)
        started = time.monotonic()
        usage: dict[str, Any] = {}
        try:
            answer = await self._upstream.complete(body)
            usage = answer["usage"]
        finally:
            await self._record(context, usage, started)
        return str(answer["choices"][0]["message"]["content"] or "")

    async def stream(
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[str]:
        await self._meter.allow(context)
        started = time.monotonic()
        usage: dict[str, Any] = {}
        body = _body(messages, max_tokens, temperature)
        try:
            async with aclosing(limited(self._upstream.stream(body), timeout)) as chunks:
                async for chunk in chunks:
                    usage = chunk.get("usage") or usage
                    for choice in chunk["choices"]:
                        if piece := choice["delta"].get("content"):
                            yield piece
        except TimeoutError:
            raise self._too_slow(timeout) from None
        finally:
            await self._record(context, usage, started)

    async def _record(self, context: CallContext, usage: Mapping[str, Any], started: float) -> None:
        details = usage.get("prompt_tokens_details") or {}
        await self._meter.record(
            context,
            ModelUsage(
                self.choice.name,
                usage.get("prompt_tokens", 0),
                usage.get("completion_tokens", 0),
                time.monotonic() - started,
                details.get("cached_tokens", 0),
            ),
        )

    def _too_slow(self, timeout: float | None) -> ModelTimeout:
        return ModelTimeout(f"the {self.choice.label} did not finish within {timeout} s")


def _body(
    messages: Sequence[ChatMessage], max_tokens: int | None, temperature: float | None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in messages]
    }
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    return body


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{json.dumps('.'.join(map(str, problem['loc'])))}: {problem['msg']}"
        for problem in problems[:5]
    )
