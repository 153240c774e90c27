"""What a run has said, so that a run that is made again does not say it twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
)

Json = dict[str, Any]


@dataclass(slots=True)
class _Text:
    """A message in the ``pieces`` in which it was said."""

    pieces: list[str]
    final: bool

    @property
    def whole(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


class Told:
    """What a run and its earlier attempts have said; ``before`` is that of the attempt before it,
    as ``to_json`` gave it.

    The run is made again from its beginning. What it says that has been said already is left out;
    and texts, calls and results that go on with earlier ones have the ids of those, so that they
    take their place. Each attempt says what it says in the order of the one before, as far as it
    does the same.
    """

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        known: Mapping[str, Any] = before or {}
        self._texts: dict[str, _Text] = {
            key: _Text([text], final) for key, text, final in known.get("texts", ())
        }
        self._calls: list[tuple[str, str]] = [(key, of) for key, of in known.get("calls", ())]
        self._ended: set[str] = set(known.get("ended", ()))
        self._thoughts: str = known.get("thoughts", "")
        self._others: Counter[str] = Counter(known.get("others", {}))

        # What of this is still to be said again, and what it is called now.
        self._texts_left = deque(self._texts)
        self._calls_left: defaultdict[str, deque[str]] = defaultdict(deque)
        for key, of in self._calls:
            self._calls_left[of].append(key)
        self._thoughts_left = self._thoughts
        self._others_left = Counter(self._others)
        self._held: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        self._call_names: dict[str, str] = {}

    def to_json(self) -> Json:
        """All of it, as JSON data."""
        return {
            "texts": [[key, text.whole, text.final] for key, text in self._texts.items()],
            "calls": [list(call) for call in self._calls],
            "ended": sorted(self._ended),
            "thoughts": self._thoughts,
            "others": dict(self._others),
        }

    def new(self, event: AgentEvent) -> AgentEvent | None:
        """What is to be said of ``event``; ``None`` when it has been said."""
        match event:
            case TextDelta():
                return self._delta(event)
            case TextFinal():
                return self._final(event)
            case ToolCall():
                return self._call(event)
            case ToolResult():
                return self._result(event)
            case Thought():
                return self._thought(event)
            case _:
                return self._other(event)

    def only(self, prefix: str) -> Told:
        """This, of which no messages are said again but those whose ids begin so."""
        self._texts_left = deque(key for key in self._texts_left if key.startswith(prefix))
        return self

    def rest(self) -> list[TextFinal]:
        """What is left to be said when the run has ended: texts that take the place of earlier ones
        and that nobody has said to be whole."""
        held = [(key, "".join(pieces)) for key, pieces in self._held.items()]
        self._held.clear()
        return [
            TextFinal(message_id=key, text=text)
            for key, text in held
            if self._texts[key].whole != text
        ]

    @property
    def texts(self) -> dict[str, str]:
        """The messages that have been said, by id."""
        return {key: text.whole for key, text in self._texts.items()}

    def _delta(self, event: TextDelta) -> TextDelta | None:
        key = self._name(event.message_id)
        if event.message_id in self._names:
            # It takes the place of a text that has been said, once all of it is known.
            self._held.setdefault(key, []).append(event.text)
            return None
        text = self._texts.setdefault(key, _Text([], final=False))
        text.pieces.append(event.text)
        text.final = False
        return event

    def _final(self, event: TextFinal) -> TextFinal | None:
        key = self._name(event.message_id)
        known = self._texts.get(key)
        self._held.pop(key, None)
        self._texts[key] = _Text([event.text], final=True)
        if known is not None and known.final and known.whole == event.text:
            return None
        return event.model_copy(update={"message_id": key})

    def _name(self, key: str) -> str:
        """What the message is called: as the one that it repeats."""
        if key in self._texts_left:
            self._texts_left.remove(key)
            self._names[key] = key
        elif key not in self._names and key not in self._texts and self._texts_left:
            self._names[key] = self._texts_left.popleft()
        return self._names.get(key, key)

    def _call(self, event: ToolCall) -> ToolCall | None:
        of = _digest(event.name, event.arguments)
        if left := self._calls_left[of]:
            self._call_names[event.call_id] = left.popleft()
            return None
        self._calls.append((event.call_id, of))
        self._call_names.pop(event.call_id, None)
        return event

    def _result(self, event: ToolResult) -> ToolResult | None:
        key = self._call_names.get(event.call_id, event.call_id)
        if key in self._ended and event.call_id in self._call_names:
            return None
        self._ended.add(key)
        return event.model_copy(update={"call_id": key})

    def _thought(self, event: Thought) -> Thought | None:
        left = self._thoughts_left
        if left.startswith(event.text):
            self._thoughts_left = left[len(event.text) :]
            return None
        text = event.text.removeprefix(left) if left else event.text
        self._thoughts_left = ""
        self._thoughts += text
        return event.model_copy(update={"text": text})

    def _other(self, event: AgentEvent) -> AgentEvent | None:
        unnamed = {"artifact_id"} if isinstance(event, ArtifactProduced) else None
        of = _digest(event.kind, event.model_dump(mode="json", exclude=unnamed))
        if self._others_left[of]:
            self._others_left[of] -= 1
            return None
        self._others[of] += 1
        return event


def _digest(name: str, data: Any) -> str:
    text = json.dumps([name, _as_logged(data)], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _as_logged(data: Any) -> Any:
    """``data`` with its numbers as the log gives them back: A2A's data has no whole ones."""
    match data:
        case dict():
            return {key: _as_logged(value) for key, value in data.items()}
        case list() | tuple():
            return [_as_logged(value) for value in data]
        case float() if data.is_integer():
            return int(data)
        case _:
            return data
