"""A language model that says what a script tells it, over the OpenAI chat protocol.

It is a real HTTP server, so that real framework clients can be tested without a key::

    model = ScriptedModel([tool_call("add", {"a": 1, "b": 2}), text("It is 3.")])
    async with model.serve() as base_url:          # "http://127.0.0.1:PORT/v1"
        ...                                        # any OpenAI-compatible client
    assert model.requests[1].tool_results == ["3"]

A script is a list of turns, taken one a request; of rules made by `when`, which are looked at
first and answer as often as they match; or one callable from the request to a turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.testing._script import (
    RecordedRequest,
    Rule,
    ToolCall,
    Turn,
    cut,
    error,
    hang,
    nonsense,
    text,
    thought,
    tool_call,
    when,
)

__all__ = [
    "RecordedRequest",
    "Rule",
    "ScriptedModel",
    "ToolCall",
    "Turn",
    "cut",
    "error",
    "hang",
    "nonsense",
    "text",
    "thought",
    "tool_call",
    "when",
]


Script = Sequence[Turn | Rule] | Callable[[RecordedRequest], Turn]


class ScriptedModel:
    """An OpenAI-compatible model that follows a script and records what it was asked.

    Args:
        script: turns in order, rules (tried first, in order), or one callable.
        name: the model name that `/v1/models` lists and the answers carry.
        api_key: when given, requests without it as bearer get 401.

    A request beyond the script's end gets status 500 and says so; `exhausted` counts these.
    """

    def __init__(
        self, script: Script = (), *, name: str = "scripted", api_key: str | None = None
    ) -> None:
        self.name = name
        self.api_key = api_key
        self.requests: list[RecordedRequest] = []
        self.exhausted = 0
        self.base_url = ""
        self._callable = script if callable(script) else None
        items = () if callable(script) else tuple(script)
        self._rules = [item for item in items if isinstance(item, Rule)]
        self._turns = [item for item in items if isinstance(item, Turn)]
        self._calls = 0
        self.app = Starlette(
            routes=[
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    def add(self, *items: Turn | Rule) -> None:
        """Lengthen the script while it runs."""
        self._rules += [item for item in items if isinstance(item, Rule)]
        self._turns += [item for item in items if isinstance(item, Turn)]

    @property
    def pending(self) -> int:
        """How many turns were not asked for yet."""
        return len(self._turns)

    @contextlib.asynccontextmanager
    async def serve(self, *, uds: str | None = None) -> AsyncIterator[str]:
        """Serve on a free loopback port (or a Unix socket); yields the base URL with `/v1`."""
        sock, url = _listen(uds)
        server = _quiet_server(self.app)
        running = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            while not server.started:
                if running.done():
                    running.result()
                    raise RuntimeError("the scripted model's server ended before it started")
                await asyncio.sleep(0.005)
            self.base_url = url
            yield url
        finally:
            server.should_exit = True
            server.force_exit = True
            await asyncio.gather(running, return_exceptions=True)
            sock.close()

    async def _models(self, request: Request) -> Response:
        card = {"id": self.name, "object": "model", "created": 0, "owned_by": "codin"}
        return JSONResponse({"object": "list", "data": [card]})

    async def _chat(self, request: Request) -> Response:
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _error_response(401, "wrong api key")
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _error_response(400, "the request body is not JSON")
        recorded = RecordedRequest(request.url.path, dict(request.headers), body)
        self.requests.append(recorded)
        return await self._answer(self._next(recorded), recorded, request)

    def _next(self, recorded: RecordedRequest) -> Turn:
        if self._callable is not None:
            return self._callable(recorded)
        for rule in self._rules:
            if rule.takes(recorded):
                rule.used += 1
                return rule.answer if isinstance(rule.answer, Turn) else rule.answer(recorded)
        if self._turns:
            return self._turns.pop(0)
        self.exhausted += 1
        return error(500, f"the script has no turn for request {len(self.requests)}")

    async def _answer(self, turn: Turn, recorded: RecordedRequest, request: Request) -> Response:
        if turn.hang:
            return await _hang(recorded, request)
        if turn.status >= 400:
            return _error_response(turn.status, turn.message)
        if turn.raw is not None:
            return Response(turn.raw, media_type="text/html")
        calls = [self._wire_call(call) for call in turn.calls]
        if recorded.stream:
            chunks = _chunks(turn, calls, recorded, self.name)
            return StreamingResponse(_sse(chunks, turn, recorded), media_type="text/event-stream")
        await asyncio.sleep(turn.delay)
        recorded.finished = True
        return JSONResponse(_completion(turn, calls, recorded, self.name))

    def _wire_call(self, call: ToolCall) -> dict[str, Any]:
        self._calls += 1
        return {
            "id": call.id or f"call_{self._calls}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.encoded()},
        }


def _listen(uds: str | None) -> tuple[socket.socket, str]:
    if uds is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(uds)
        return sock, "http://scripted.model/v1"
    # With its protocol, without which asyncio lets each piece wait for the one before (Nagle).
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    return sock, f"http://127.0.0.1:{sock.getsockname()[1]}/v1"


def _quiet_server(app: Starlette) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            # The process that runs the test keeps its own signal handlers.
            yield

    return Server(
        uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    )


def _error_response(status: int, message: str) -> Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": None, "code": None}}, status
    )


async def _hang(recorded: RecordedRequest, request: Request) -> Response:
    while not await request.is_disconnected():  # noqa: ASYNC110 - the server gives no event
        await asyncio.sleep(0.02)
    recorded.disconnected = True
    return Response(status_code=499)


def _usage(turn: Turn, recorded: RecordedRequest) -> dict[str, int]:
    spoken = turn.text + "".join(call.encoded() for call in turn.calls)
    counted = (len(recorded.text) // 4 + 1, len(spoken) // 4 + 1)
    taken, given = turn.usage or counted
    return {"prompt_tokens": taken, "completion_tokens": given, "total_tokens": taken + given}


def _completion(
    turn: Turn, calls: list[dict[str, Any]], recorded: RecordedRequest, name: str
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
    if turn.thought:
        message["reasoning_content"] = turn.thought
    if calls:
        message["tool_calls"] = calls
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": name,
        "choices": [{"index": 0, "message": message, "finish_reason": turn.finish}],
        "usage": _usage(turn, recorded),
    }


def _pieces(content: str, size: int) -> list[str]:
    return [content[i : i + size] for i in range(0, len(content), size)]


def _deltas(turn: Turn, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    thoughts = _pieces(turn.thought, turn.chunk_chars)
    deltas += [{"reasoning_content": piece} for piece in thoughts]
    deltas += [{"content": piece} for piece in _pieces(turn.text, turn.chunk_chars)]
    for index, call in enumerate(calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        head = {**call, "index": index, "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [head]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in _pieces(arguments, turn.chunk_chars)
        ]
    return deltas


def _chunks(
    turn: Turn, calls: list[dict[str, Any]], recorded: RecordedRequest, name: str
) -> list[dict[str, Any]]:
    base = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": name,
    }
    chunks: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in _deltas(turn, calls)
    ]
    end = {"index": 0, "delta": {}, "finish_reason": turn.finish}
    chunks.append({**base, "choices": [end]})
    if (recorded.body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**base, "choices": [], "usage": _usage(turn, recorded)})
    return chunks


async def _sse(
    chunks: list[dict[str, Any]], turn: Turn, recorded: RecordedRequest
) -> AsyncIterator[bytes]:
    try:
        for number, chunk in enumerate(chunks):
            if turn.cut_after is not None and number > turn.cut_after:
                raise ConnectionResetError("cut by the script")
            await asyncio.sleep(turn.delay)
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"
        recorded.finished = True
    finally:
        recorded.disconnected = not recorded.finished
