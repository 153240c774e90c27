"""What models answered in runs that are under way, for runs that are made again."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response, StreamingResponse

MAX_BYTES = 8 * 1024 * 1024
"""Bytes of answers that are kept of one run; a run that is made again asks for the others anew."""


@dataclass(slots=True)
class _Run:
    answers: defaultdict[str, list[tuple[str, bytes]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    taken: Counter[str] = field(default_factory=Counter)
    size: int = 0

    def keep(self, asked: str, media_type: str, body: bytes) -> None:
        self.size += len(body)
        if self.size <= MAX_BYTES:
            self.answers[asked].append((media_type, body))
            self.taken[asked] += 1


class ModelRecord:
    """The answers of runs, from ``open`` to ``close``, by what was asked: the same request gets the
    same answer, in the order in which they came. Requests of other runs pass by."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def open(self, task_id: str, before: Mapping[str, Any] | None = None) -> None:
        """Keep the answers of a task's run from now on; ``before`` is what ``close`` gave of the
        attempt that is made again."""
        run = self._runs[task_id] = _Run()
        for asked, answers in (before or {}).items():
            run.answers[asked] = [(kind, _unpacked(body)) for kind, body in answers]
            run.size += sum(len(body) for _, body in run.answers[asked])

    def close(self, task_id: str) -> dict[str, Any]:
        """The answers of the run, as JSON data; it is forgotten here."""
        run = self._runs.pop(task_id, None) or _Run()
        return {
            asked: [[kind, _packed(body)] for kind, body in answers]
            for asked, answers in run.answers.items()
            if answers
        }

    async def answered(
        self, task_id: str, asked: bytes, ask: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The answer that the run got to ``asked`` in the attempt before, or what ``ask`` gives,
        which is kept once all of it has been sent."""
        run = self._runs.get(task_id)
        if run is None:
            return await ask()
        key = hashlib.sha256(asked).hexdigest()
        number = run.taken[key]
        if number < len(run.answers[key]):
            run.taken[key] += 1
            media_type, body = run.answers[key][number]
            return Response(body, media_type=media_type)
        response = await ask()
        if response.status_code == 200:
            _keep(response, run, key)
        return response


def _keep(response: Response, run: _Run, key: str) -> None:
    media_type = response.headers.get("content-type", "")
    if isinstance(response, StreamingResponse):
        pieces = response.body_iterator

        async def passed() -> AsyncIterator[Any]:
            body = bytearray()
            async for piece in pieces:
                body += piece.encode() if isinstance(piece, str) else piece
                yield piece
            run.keep(key, media_type, bytes(body))

        response.body_iterator = passed()
    else:
        run.keep(key, media_type, bytes(response.body))


def _packed(body: bytes) -> str:
    return base64.b64encode(zlib.compress(body)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
