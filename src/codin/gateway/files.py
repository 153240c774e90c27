"""Downloads of what agents made: never shown as a page, whatever is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from codin.gateway.headers import FILE_POLICY
from codin.task.artifacts import Content
from codin.tool.workspace import OpenFile

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})


def download(file: OpenFile) -> Response:
    """``file`` as a download named after the last part of its path, closed when it is over.

    The page shows images by an ``img`` element, in which nothing in them can run; text is served
    as plain text, and all else as bytes.
    """
    return StreamingResponse(
        _chunks(file),
        media_type=_served_type(file.info.media_type),
        headers=_headers(file.info.path),
    )


def content_download(content: Content) -> Response:
    """What a task referred to, in the same way."""
    return Response(
        content.content,
        media_type=_served_type(content.media_type),
        headers=_headers(content.name),
    )


def _headers(path: str) -> dict[str, str]:
    return {
        "content-disposition": _attachment(path.rpartition("/")[2]),
        "content-security-policy": FILE_POLICY,
        "cache-control": "no-store",
    }


async def _chunks(file: OpenFile) -> AsyncIterator[bytes]:
    with file:
        async for chunk in file.chunks():
            yield chunk


def _served_type(media_type: str) -> str:
    plain = media_type.partition(";")[0].strip().lower()
    if plain in _IMAGES:
        return plain
    if plain.startswith("text/") or plain in {"application/json", "application/x-ndjson"}:
        return "text/plain; charset=utf-8"
    return "application/octet-stream"


def _attachment(name: str) -> str:
    """RFC 6266, with a plain name for old clients and the exact one beside it."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    exact = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain or 'file'}\"; filename*=UTF-8''{exact}"
