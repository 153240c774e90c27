"""What models answered in runs that are under way, and what that used."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codin.model.base import ModelUsage

MAX_BYTES = 8 * 1024 * 1024
"""Bytes of answers that are kept of one run; a run that is made again asks for the others anew."""

Json = dict[str, Any]
Keep = Callable[[Json], Awaitable[None]]
"""Writes down an answer, as JSON data, so that an attempt of the run after this one has it; or what
a request used."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered: ``body``, and of which media type it is."""

    media_type: str
    body: bytes


async def _nowhere(answer: Json) -> None:
    """Write nothing down."""


@dataclass(slots=True)
class _Run:
    keep: Keep
    answers: defaultdict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    taken: Counter[str] = field(default_factory=Counter)
    size: int = 0

    def add(self, key: str, answer: Answer) -> None:
        self.answers[key].append(answer)
        self.size += len(answer.body)


class ModelRecord:
    """The answers of runs, from ``open`` to ``close``, by what was asked: the same request gets the
    same answer, in the order in which they came. Requests of other runs pass by.

    What a request used is written down too, before its answer. An answer from the record uses
    nothing."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def open(
        self, task_id: str, before: Iterable[Mapping[str, Any]] = (), keep: Keep = _nowhere
    ) -> None:
        """Give each answer of a task's run, and what it used, to ``keep`` from now on; ``before``
        are the answers of the attempts before it, in their order."""
        run = self._runs[task_id] = _Run(keep)
        for one in before:
            run.add(one["asked"], Answer(one["media_type"], _unpacked(one["body"])))

    def close(self, task_id: str) -> None:
        """Forget the run."""
        self._runs.pop(task_id, None)

    def known(self, task_id: str, asked: bytes) -> Answer | None:
        """The answer that the run got to ``asked`` in an attempt before; each is given once."""
        run = self._runs.get(task_id)
        if run is None:
            return None
        key = _key(asked)
        answers, number = run.answers[key], run.taken[key]
        if number == len(answers):
            return None
        run.taken[key] += 1
        return answers[number]

    async def keep(self, task_id: str, asked: bytes, answer: Answer) -> None:
        """The run got ``answer`` to ``asked``."""
        run = self._runs.get(task_id)
        if run is None:
            return
        key = _key(asked)
        run.add(key, answer)
        run.taken[key] += 1
        if run.size > MAX_BYTES:  # nor is what comes after it: answers are given in their order
            return
        body = base64.b64encode(zlib.compress(answer.body)).decode()
        await run.keep({"asked": key, "media_type": answer.media_type, "body": body})

    async def used(self, task_id: str, usage: ModelUsage) -> None:
        """A request of the run used so much."""
        run = self._runs.get(task_id)
        if run is not None:
            tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
            await run.keep({"used": {"model": usage.model, **tokens}})


def _key(asked: bytes) -> str:
    return hashlib.sha256(asked).hexdigest()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
