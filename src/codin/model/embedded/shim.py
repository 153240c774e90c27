"""Tool calling and structured answers for the embedded model, by constrained decoding.

One turn is two short completions over one cached prompt: first which action (a tool or the
answer, held to those names by a grammar), then its arguments (held to the tool's schema, or a
block of code) or the free text of the answer, which streams.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pydantic_core

from codin.model.embedded.conversation import (
    ACTION,
    ANSWER,
    Conversation,
    call_key,
    render,
)
from codin.model.embedded.llama import Llama, Piece
from codin.model.embedded.toolshape import ToolShape
from codin.model.errors import BadModelOutput, ContextTooLong, ModelRefused

_ANSWER_TOKENS = 768
_ARGUMENT_TOKENS = 1024
_NAME_TOKENS = 48
_MAX_CALLS = 12
_MAX_FAILURES = 3
_RETRY_TEMPERATURE = 0.7
# The model is quick to answer. Where an answer was due its lead over the best tool was 3 to 4.5
# (natural logarithm), where a tool was due at most 1.5.
_TO_ANSWER = 2.0
_RESULT_CHARS = (6000, 2500, 1000, 400)
_PASSED_ON = ("temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty")


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Some more of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CallMade:
    """The model wants a tool called. ``arguments`` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The turn is over. ``reason`` is ``stop``, ``length`` or ``tool_calls``."""

    reason: str
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int


TurnEvent = TextDelta | CallMade | Finished


@dataclass
class _Turn:
    """One request on its way."""

    body: Mapping[str, Any]
    tools: dict[str, ToolShape]
    conversation: Conversation
    prompt: str
    options: dict[str, Any]
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int | None = None
    may_answer: bool = True
    known: bool = False

    def count(self, piece: Piece) -> None:
        self.prompt_tokens = max(self.prompt_tokens, piece.prompt_tokens)
        self.output_tokens += piece.output_tokens
        if self.cached_tokens is None:
            self.cached_tokens = piece.cached_tokens

    def finished(self, reason: str) -> Finished:
        return Finished(reason, self.prompt_tokens, self.output_tokens, self.cached_tokens or 0)


class Shim:
    """Answers OpenAI chat requests with the embedded model.

    Honoured: ``messages``, ``tools``, ``tool_choice``, ``response_format``, ``max_tokens`` (or
    ``max_completion_tokens``), ``stop``, ``temperature`` (0 unless given), ``top_p``, ``seed``.
    A turn makes at most one tool call.
    """

    def __init__(self, llama: Llama) -> None:
        self._llama = llama

    async def turn(self, body: Mapping[str, Any]) -> AsyncGenerator[TurnEvent]:
        """The events of the model's next turn; a `Finished` is the last.

        Raises:
            ModelRefused: the request is faulty.
            ContextTooLong: it does not fit, however its tool results are shortened.
            BadModelOutput: the arguments of a call came to nothing.
            ModelUnavailable: the model's process is not there.
        """
        tools = _tools(body)
        for chars in _RESULT_CHARS:
            begun = False
            try:
                async with aclosing(self._attempt(body, tools, chars)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except ContextTooLong:
                if begun or chars == _RESULT_CHARS[-1]:
                    raise

    async def _attempt(
        self, body: Mapping[str, Any], tools: dict[str, ToolShape], result_chars: int
    ) -> AsyncGenerator[TurnEvent]:
        turn = _begin(body, tools, result_chars)
        names = _allowed(turn)
        while names and (name := await self._choose(turn, names)) != ANSWER:
            made = await self._fill(turn, tools[name])
            if made is not None:
                yield CallMade(f"call_{uuid.uuid4().hex[:20]}", name, made)
                yield turn.finished("tool_calls")
                return
            # A result that is known already means: answer. But not from an error; there, and when
            # the failed call itself came again, another tool has to help.
            done = turn.known and not turn.conversation.failures
            names = [] if done else [other for other in names if other not in (name, ANSWER)]
        async with aclosing(self._answer(turn)) as events:
            async for event in events:
                yield event

    async def _choose(self, turn: _Turn, names: Sequence[str]) -> str:
        if not turn.tools:
            return ANSWER
        if len(names) == 1:
            return names[0]
        # The space belongs to the name's first token: given with the prompt, it would leave the
        # model with tokens that it hardly ever writes there, and with other likelihoods.
        grammar = "root ::= " + " | ".join(json.dumps(f" {name}\n") for name in names)
        piece = await self._llama.complete(
            turn.prompt + ACTION,
            **{**turn.options, "temperature": 0},
            grammar=grammar,
            logit_bias=[[f" {ANSWER}", -_TO_ANSWER]],
            n_predict=_NAME_TOKENS,
        )
        turn.count(piece)
        name = piece.text.strip()
        if name not in names:
            raise BadModelOutput(f"the embedded model chose {name!r}, which is none of {names}")
        return name

    async def _fill(self, turn: _Turn, shape: ToolShape) -> str | None:
        """The arguments for a call of the tool; ``None`` when it was called so before.

        ``turn.known`` is set when that call's result stands in the conversation.
        """
        past = {call.key: call for call in turn.conversation.calls}
        start = f"{turn.prompt}{ACTION} {shape.name}\n"
        for heat in (None, _RETRY_TEMPERATURE):
            options = turn.options if heat is None else {**turn.options, "temperature": heat}
            values = await self._arguments(turn, shape, start, options)
            arguments = json.dumps(values, ensure_ascii=False)
            before = past.get(call_key(shape.name, arguments))
            if before is None:
                return arguments
            if before.result is not None and not before.failed:
                turn.known = True
                break
        return None if turn.may_answer else arguments

    async def _arguments(
        self, turn: _Turn, shape: ToolShape, start: str, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if shape.schema is not None:
            written, values = await self._json(turn, start, shape.schema, options)
            start += written + "\n"
        if shape.block is not None:
            # Left alone, a small model writes the code that failed once more.
            begun = shape.block.mended(turn.conversation.last_error)
            piece = await self._llama.complete(
                start + shape.block.opening + begun,
                **options,
                stop=[shape.block.closing, f"\n{ACTION}"],
                n_predict=_ARGUMENT_TOKENS,
            )
            turn.count(piece)
            values[shape.block.argument] = begun + piece.text
        return values

    async def _json(
        self, turn: _Turn, start: str, schema: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        limits = {**options, "n_predict": _ARGUMENT_TOKENS}
        try:
            piece = await self._llama.complete(start, **limits, json_schema=schema)
        except ModelRefused:
            # Not every JSON schema has a grammar; the tool checks its arguments in any case.
            piece = await self._llama.complete(start, **limits, json_schema={"type": "object"})
        turn.count(piece)
        try:
            values = pydantic_core.from_json(piece.text, allow_partial="trailing-strings")
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise BadModelOutput(
                f"the embedded model gave arguments that are no object: {piece.text[:200]!r}"
            )
        return piece.text, values

    async def _answer(self, turn: _Turn) -> AsyncGenerator[TurnEvent]:
        start = f"{turn.prompt}{ACTION} {ANSWER}\n" if turn.tools else turn.prompt
        schema = _answer_schema(turn.body)
        options = {**turn.options, "n_predict": _most(turn.body), "stop": _stops(turn)}
        if schema is not None:
            options["json_schema"] = schema
        last = Piece("", stop="limit")
        async with aclosing(self._llama.stream(start, **options)) as pieces:
            async for piece in pieces:
                last = piece
                if piece.text:
                    yield TextDelta(piece.text)
        turn.count(last)
        yield turn.finished("length" if last.stop == "limit" else "stop")


def _tools(body: Mapping[str, Any]) -> dict[str, ToolShape]:
    if body.get("tool_choice") == "none":
        # Shown all the same would only make the prompt longer, but past calls need their shape.
        return {}
    try:
        shapes = [ToolShape.of(tool) for tool in body.get("tools") or []]
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelRefused(f"the request's tools cannot be read: {error}") from None
    return {shape.name: shape for shape in shapes}


def _begin(body: Mapping[str, Any], tools: dict[str, ToolShape], result_chars: int) -> _Turn:
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
        raise ModelRefused("the request has no list of messages")
    conversation = render(messages, list(tools.values()), result_chars=result_chars)
    options = {key: body[key] for key in _PASSED_ON if body.get(key) is not None}
    options.setdefault("temperature", 0)
    return _Turn(body, tools, conversation, conversation.prompt, options)


def _allowed(turn: _Turn) -> list[str]:
    """The actions that the request and the course of the run leave open."""
    if not turn.tools:
        return []
    choice = turn.body.get("tool_choice") or "auto"
    names = list(turn.tools)
    if isinstance(choice, Mapping):
        named = str((choice.get("function") or {}).get("name"))
        if named not in turn.tools:
            raise ModelRefused(f"tool_choice names {named!r}, which is none of {names}")
        turn.may_answer = False
        return [named]
    if choice == "required":
        turn.may_answer = False
        return names
    conversation = turn.conversation
    if len(conversation.calls) >= _MAX_CALLS or conversation.failures >= _MAX_FAILURES:
        return [ANSWER]
    if conversation.failures:
        # Left alone, a small model explains the error instead of mending its code.
        turn.may_answer = True
        return names
    return [*names, ANSWER]


def _stops(turn: _Turn) -> list[str]:
    given = turn.body.get("stop") or []
    stops = [given] if isinstance(given, str) else list(given)
    return [*stops, f"\n{ACTION}"] if turn.tools else stops


def _most(body: Mapping[str, Any]) -> int:
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    return int(asked) if asked else _ANSWER_TOKENS


def _answer_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = body.get("response_format") or {}
    kind = wanted.get("type")
    if kind == "json_object":
        return {"type": "object"}
    if kind == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        if not isinstance(schema, Mapping):
            raise ModelRefused("response_format is json_schema, but has no schema")
        return schema
    return None
