"""The shapes of answers that are not A2A's own."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse


def error_response(
    status: int, code: str, message: str, *, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An error of the page's API: ``code`` for programs, ``message`` for people."""
    body = {"error": {"code": code, "message": message}}
    return JSONResponse(body, status_code=status, headers=headers)


def rpc_error_response(code: int, message: str) -> JSONResponse:
    """A JSON-RPC error for a request whose id is not known. JSON-RPC errors are HTTP 200."""
    body: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": code, "message": message},
    }
    return JSONResponse(body)
