"""A tool's result as JSON data and as text: without secrets, and within its limit."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema_rs import ValidationError

from codin.errors import CodinError
from codin.ids import new_id
from codin.security.secrets import forms, hide
from codin.tool._compiled import schemas_of
from codin.tool._entry import plain
from codin.tool._sentence import misfit
from codin.tool._size import has_more
from codin.tool.base import ToolDefinitionError, ToolFailed, ToolSpec, error_of
from codin.tool.invocation import CallFinished, Invocation, ToolOutcome

RESULTS = "results"
"""The folder of the workspace that has results which were too long to be given whole."""

_HEAD = 0.7
_LARGE = 10_000
_LARGE_TEXT = 1024 * 1024
_WRITE_SECONDS = 20.0
_encode = json.JSONEncoder(ensure_ascii=False).encode
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Presented:
    """A result as it is given: as data, and as text for a model.

    ``truncated`` says that both are the cut text; ``file`` is then the file that has all of it.
    """

    data: Any
    text: str
    truncated: bool = False
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """The whole of a result: as JSON data and as text, and how it does not fit what the tool says
    of its results (empty when it does)."""

    data: Any
    text: str
    mismatch: str = ""


async def told(spec: ToolSpec, value: Any, secrets: Sequence[str] = ()) -> Told:
    """What a tool gave, without ``secrets``. Large data is gone through in a thread.

    Raises:
        ToolFailed: it cannot be told in JSON.
    """
    if has_more(value, _LARGE, _LARGE_TEXT):
        return await asyncio.to_thread(_told, spec, value, secrets)
    return _told(spec, value, secrets)


def again(call: CallFinished, call_id: str) -> ToolOutcome:
    """What came of a call, from its record."""
    value = call.value
    if call.error_type is None:
        text = value if isinstance(value, str) else _encode(value)
        return ToolOutcome(value, text, truncated=call.truncated, call_id=call_id, cached=True)
    error = error_of(call.error_type, call.message)
    return ToolOutcome(text=call.message, is_error=True, error=error, call_id=call_id)


async def presented(call: Invocation, name: str, result: Told, most_chars: int) -> Presented:
    """``result`` as it is given to the caller, within ``ToolLimits.result_chars``.

    What is longer goes whole into a file of the workspace, unless it is more than ``most_chars`` or
    cannot be written there. A cut keeps the beginning and the end and says so where it cut, and the
    data is then that text.
    """
    text, limit = result.text, call.limits.result_chars
    if len(text) <= limit:
        return Presented(result.data, text)
    ending = "txt" if isinstance(result.data, str) else "json"
    file = f"{RESULTS}/{name}-{new_id()[:8]}.{ending}"
    written = await _written(call, file, text, most_chars)
    shown = cut(text, limit, file if written else None)
    return Presented(shown, shown, truncated=True, file=file if written else None)


async def _written(call: Invocation, file: str, text: str, most_chars: int) -> bool:
    if len(text) > most_chars:
        return False
    content = text.encode("utf-8", "replace")
    try:
        async with asyncio.timeout(_WRITE_SECONDS), call.sandboxes.sandbox(call.grant) as sandbox:
            await sandbox.fs.write(file, content)
    except (CodinError, OSError) as error:
        _log.warning("a long result is not kept in %s: %s", file, error or "it took too long")
        return False
    return True


def cut(text: str, limit: int, file: str | None = None) -> str:
    """``text`` within ``limit`` characters, with a note where something is left out, which names
    the ``file`` that has all of it."""
    if len(text) <= limit:
        return text
    where = f"; the file {file} has all of it" if file else ""
    note = f"\n[... {len(text):,} characters in all, the middle is left out{where} ...]\n"
    room = limit - len(note)
    if room <= 0:
        return text[:limit]
    head = int(room * _HEAD)
    return text[:head] + note + text[len(text) - (room - head) :]


def cleaned(value: Any, secrets: Sequence[str]) -> Any:
    """JSON data without ``secrets``, also where they are written as in a URL or in JSON."""
    return _cleaned(value, forms(secrets)) if secrets else value


def _told(spec: ToolSpec, value: Any, secrets: Sequence[str]) -> Told:
    try:
        data = cleaned(plain(value), secrets)
    except Exception as error:
        # What a value does when it is looked at is the tool's own.
        raise ToolFailed(
            f"{spec.name} gave a result that cannot be told in JSON: "
            f"{type(error).__name__}: {error}"
        ) from error
    text = data if isinstance(data, str) else _encode(data)
    return Told(data, text, _mismatch(spec, data))


def _mismatch(spec: ToolSpec, data: Any) -> str:
    if spec.output_schema is None:
        return ""
    try:
        validator = schemas_of(spec).output
    except ToolDefinitionError as error:
        return str(error)
    try:
        if validator is not None:
            validator.validate(data)
    except ValidationError as error:
        return misfit(error)
    return ""


def _cleaned(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, str):
        return hide(value, secrets)
    if isinstance(value, list):
        return [_cleaned(item, secrets) for item in value]
    if isinstance(value, dict):
        return {hide(key, secrets): _cleaned(item, secrets) for key, item in value.items()}
    return value
