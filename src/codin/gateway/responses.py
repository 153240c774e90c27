"""The shapes of answers that are not A2A's own."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from codin.gateway.errors import LimitReached
from codin.jsontext import encoded

LIMITED = -32029
"""JSON-RPC's code for HTTP's 429, out of those that it leaves to servers."""


class FastJson(JSONResponse):
    """JSON as ``JSONResponse`` sends it, several times faster."""

    def render(self, content: Any) -> bytes:
        return encoded(content)


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


def limit_response(error: LimitReached) -> JSONResponse:
    """429 as the page's API says it."""
    return error_response(429, "limit_reached", str(error), headers=_retry(error))


def rest_limit_response(error: LimitReached) -> JSONResponse:
    """429 in the form of A2A's HTTP+JSON binding (A2A 1.0, section 11.6)."""
    body = {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": str(error),
        "details": _details(error),
    }
    return JSONResponse({"error": body}, 429, _retry(error))


def rpc_limit_response(call_id: Any, error: LimitReached) -> JSONResponse:
    """429 as a JSON-RPC error: what is over a limit is refused below the protocol, too."""
    found = {"jsonrpc": "2.0", "id": call_id, "error": rpc_limit_error(error)}
    return JSONResponse(found, 429, _retry(error))


def rpc_limit_error(error: LimitReached) -> dict[str, Any]:
    """The error object alone, as it stands in a batch."""
    return {"code": LIMITED, "message": str(error), "data": _details(error)}


def _details(error: LimitReached) -> list[dict[str, Any]]:
    """For programs, in the types that A2A uses for it (section 9.5)."""
    said = {"limit": error.limit, "allowed": str(error.allowed)}
    return [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "LIMIT_REACHED",
            "domain": "codin",
            "metadata": said,
        },
        {
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": f"{error.retry_after}s",
        },
    ]


def _retry(error: LimitReached) -> dict[str, str]:
    return {"retry-after": str(error.retry_after)}
