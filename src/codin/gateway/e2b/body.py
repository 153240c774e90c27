"""What a request carries: its bytes, up to a most, and the JSON object that they are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from codin.gateway.e2b.errors import BadRequest, TooLarge, TooLate
from codin.gateway.e2b.streaming import STALL_SECONDS

MAX_MESSAGE = 4 * 1024 * 1024
"""The most bytes of one message that is sent here."""


async def body_of(request: Request, most: int) -> bytes:
    """The body, up to ``most`` bytes.

    Raises:
        TooLarge, ClientDisconnect
        TooLate: the client sends nothing more, and does not go.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise TooLarge(f"the request is larger than the {most:,} bytes allowed")
    body = bytearray()
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise TooLate(f"nothing came for {STALL_SECONDS:g} s") from None
        if chunk is None:
            return bytes(body)
        body += chunk
        if len(body) > most:
            raise TooLarge(f"the request is larger than the {most:,} bytes allowed")


async def object_of(request: Request) -> dict[str, Any]:
    """The JSON object that is the body; an empty body is an empty one.

    Raises:
        BadRequest, TooLarge, TooLate, ClientDisconnect
    """
    return parsed(await body_of(request, MAX_MESSAGE))


def parsed(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``.

    Raises:
        BadRequest: there is none.
    """
    try:
        message = from_json(body or b"{}")
    except ValueError as error:
        raise BadRequest(f"the message is no JSON: {str(error)[:200]}") from None
    if not isinstance(message, dict):
        raise BadRequest("a message is a JSON object")
    return message


def text_of(message: Mapping[str, Any], name: str, default: str = "") -> str:
    """The text at ``name``.

    Raises:
        BadRequest: it is none.
    """
    value = message.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str):
        raise BadRequest(f"{name} is a text")
    return value
