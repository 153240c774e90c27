"""The public keys by which others verify what this platform has signed (RFC 7517)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

JWKS_PATH = "/.well-known/jwks.json"

MAX_AGE = 300
"""Seconds for which the keys may be kept: less than a new one is published before it signs."""


def jwks_routes(jwks: Callable[[], Mapping[str, Any]]) -> list[Route]:
    """The key set at its well-known address."""

    async def answer(request: Request) -> Response:
        headers = {"cache-control": f"public, max-age={MAX_AGE}"}
        return JSONResponse(jwks(), headers=headers, media_type="application/jwk-set+json")

    return [Route(JWKS_PATH, answer, methods=["GET"])]
