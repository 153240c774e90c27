"""A language model behind Gemini's own protocol, for what only that protocol can say."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["gemini"]


def gemini(*parts: dict[str, Any]) -> Starlette:
    """A server whose model says ``parts`` to every request, each in an event of the stream: in the
    protocol's JSON, such as ``{"text": "Hm.", "thought": True}``. It counts 3 tokens taken and 5
    given."""

    async def say(request: Request) -> Response:
        usage = {"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 8}
        events: list[dict[str, Any]] = [
            {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}]}
            for part in parts
        ]
        events[-1]["candidates"][0]["finishReason"] = "STOP"
        lines = [f"data: {json.dumps({**e, 'usageMetadata': usage})}\n\n" for e in events]
        return Response("".join(lines), media_type="text/event-stream")

    return Starlette(routes=[Route("/{path:path}", say, methods=["POST"])])
