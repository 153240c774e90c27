"""Frames: four bytes of length (big-endian), then one msgpack map.

The side that asks sends ``call``, ``construct``, ``method`` or ``code``, one at a time, each with
an ``id``. The side inside first says ``hello``; then, for each request, any number of ``item`` and
one ``done`` or ``error``, with that ``id``.
"""

from __future__ import annotations

import struct

import msgpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LENGTH = struct.Struct(">I")
VERSION = 1
MAX_FRAME = 64 * 1024 * 1024
"""The most bytes of one frame, whatever the limits say."""

_SPARE_BYTES = 64 * 1024
_spare: list[msgpack.Packer] = []
_SECONDS = 1  # msgpack's own timestamps come as plain numbers


class FrameError(ValueError):
    """Bytes that are no frame of this protocol."""


def pack(message: dict[str, Any], *, limit: int = MAX_FRAME) -> bytes:
    """The bytes of a frame.

    Raises:
        TypeError: something in it is not data.
        FrameError: it is longer than ``limit``.
    """
    # One is kept, since making it takes longer than a short message; not after a failure, which
    # leaves half a message in it, and not while it is in use.
    packer = _spare.pop() if _spare else _new_packer()
    try:
        body: bytes = packer.pack(message)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"not data that can be sent: {error}") from error
    if not _spare and len(body) < _SPARE_BYTES:
        _spare.append(packer)
    if len(body) > limit:
        raise FrameError(f"{len(body)} bytes, and the limit is {limit}; use a file for more")
    return LENGTH.pack(len(body)) + body


def _new_packer() -> msgpack.Packer:
    return msgpack.Packer(default=as_data, unicode_errors="backslashreplace")


def unpack(body: bytes | bytearray) -> dict[str, Any]:
    """The message of a frame's body. Trusts nothing of it.

    Raises:
        FrameError
    """
    try:
        message = msgpack.unpackb(
            body, ext_hook=_no_extension, strict_map_key=False, timestamp=_SECONDS
        )
    except Exception as error:
        raise FrameError(f"not msgpack data: {type(error).__name__}: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise FrameError("a frame is a map with its kind at 't'")
    return message


def as_data(value: Any) -> Any:
    """What to send for something that msgpack does not know but that is plainly data.

    Raises:
        TypeError: it is not.
    """
    if isinstance(value, set | frozenset):
        return list(value)
    for name in ("model_dump", "isoformat", "tolist", "to_dict", "__fspath__"):
        method = getattr(type(value), name, None)
        if callable(method):
            return method(value)
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    if type(value).__name__ in {"Decimal", "UUID"}:
        return str(value)
    raise TypeError(f"{type(value).__name__} is not data (numbers, text, bytes, lists, maps)")


def _no_extension(code: int, _: bytes) -> Any:
    raise FrameError(f"extension type {code} is not part of the protocol")
