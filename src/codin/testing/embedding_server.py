"""An embedding model behind OpenAI's protocol and Google's, so that their real clients can be
tested without a key."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codin.testing.hashing_embedder import HashingEmbedder

Trouble = Literal["busy", "refused", "nan", "fewer", "longer", "nonsense", "silent"]
"""What may go wrong: 503, 400, NaN in a vector, a vector less, a vector of another size, no JSON,
no answer."""


class EmbeddingServer:
    """Says where texts are, as a ``HashingEmbedder`` does; serve its ``app``.

    ``troubles`` are taken one a request before it answers well. ``batches`` has the texts of each
    request, and ``keys`` the key that came with it.
    """

    def __init__(self, *troubles: Trouble, dimension: int = 16) -> None:
        self.troubles = [*troubles]
        self.batches: list[list[str]] = []
        self.keys: list[str] = []
        self._embedder = HashingEmbedder(dimension)
        self.app = Starlette(
            routes=[
                Route("/v1/embeddings", self._openai, methods=["POST"]),
                Route("/{rest:path}", self._google, methods=["POST"]),
            ]
        )

    async def _openai(self, request: Request) -> Response:
        body = json.loads(await request.body())
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        self.keys.append(request.headers.get("authorization", "").removeprefix("Bearer "))
        answer = await self._rows(texts)
        if isinstance(answer, Response):
            return answer
        encoded = body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": at, "embedding": _base64(row) if encoded else row}
            for at, row in enumerate(answer)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return _json({"object": "list", "data": data, "model": body["model"], "usage": usage})

    async def _google(self, request: Request) -> Response:
        body = json.loads(await request.body())
        asked = body.get("requests", [body])
        texts = ["".join(part["text"] for part in one["content"]["parts"]) for one in asked]
        self.keys.append(request.headers.get("x-goog-api-key", ""))
        answer = await self._rows(texts)
        if isinstance(answer, Response):
            return answer
        if "requests" in body:
            return _json({"embeddings": [{"values": row} for row in answer]})
        return _json({"embedding": {"values": answer[0]}})

    async def _rows(self, texts: list[str]) -> list[list[float]] | Response:
        self.batches.append(texts)
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble in ("busy", "refused"):
            code, message = (503, "busy") if trouble == "busy" else (400, "not with this model")
            return JSONResponse({"error": {"message": message, "code": code}}, code)
        if trouble == "nonsense":
            return Response("<html>", media_type="application/json")
        if trouble == "silent":
            await asyncio.sleep(3600)
        rows: list[list[float]] = (await self._embedder.embed(texts)).tolist()
        if trouble == "nan":
            rows[0][0] = float("nan")
        if trouble == "fewer":
            rows.pop()
        if trouble == "longer":
            rows[0].append(1.0)
        return rows


def _json(value: Any) -> Response:
    """As Python writes it, with NaN in it: what is wrong has to come through."""
    return Response(json.dumps(value), media_type="application/json")


def _base64(row: list[float]) -> str:
    import numpy as np

    return base64.b64encode(np.array(row, dtype=np.float32).tobytes()).decode()
