"""What models answered in runs that are under way, for runs that are made again."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 8 * 1024 * 1024
"""Bytes of answers that are kept of one run; a run that is made again asks for the others anew."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered: ``body``, and of which media type it is."""

    media_type: str
    body: bytes


@dataclass(slots=True)
class _Run:
    answers: defaultdict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    taken: Counter[str] = field(default_factory=Counter)
    size: int = 0


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
            run.answers[asked] = [Answer(kind, _unpacked(body)) for kind, body in answers]
            run.size += sum(len(answer.body) for answer in run.answers[asked])

    def close(self, task_id: str) -> dict[str, Any]:
        """The answers of the run, as JSON data; it is forgotten here."""
        run = self._runs.pop(task_id, None) or _Run()
        return {
            asked: [[answer.media_type, _packed(answer.body)] for answer in answers]
            for asked, answers in run.answers.items()
            if answers
        }

    def known(self, task_id: str, asked: bytes) -> Answer | None:
        """The answer that the run got to ``asked`` in the attempt before; each is given once."""
        run = self._runs.get(task_id)
        if run is None:
            return None
        key = _key(asked)
        answers, number = run.answers[key], run.taken[key]
        if number == len(answers):
            return None
        run.taken[key] += 1
        return answers[number]

    def keep(self, task_id: str, asked: bytes, answer: Answer) -> None:
        """The run got ``answer`` to ``asked``."""
        run = self._runs.get(task_id)
        if run is None:
            return
        run.size += len(answer.body)
        if run.size <= MAX_BYTES:
            key = _key(asked)
            run.answers[key].append(answer)
            run.taken[key] += 1


def _key(asked: bytes) -> str:
    return hashlib.sha256(asked).hexdigest()


def _packed(body: bytes) -> str:
    return base64.b64encode(zlib.compress(body)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
