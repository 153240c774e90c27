"""The words of a script: turns, rules, and the requests that they look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_CHUNK_CHARS = 12


@dataclass(frozen=True)
class ToolCall:
    """One call the model asks for. `arguments` may be a string, to send broken JSON."""

    name: str
    arguments: Mapping[str, Any] | str
    id: str | None = None

    def encoded(self) -> str:
        """Give the arguments as they stand on the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Turn:
    """What the model does with one request. Turns are joined by `+` (thought, text, then calls).

    `delay` is in seconds and is waited before every chunk (before the whole answer when the
    request does not stream). `cut_after` ends the connection after so many chunks.
    """

    text: str = ""
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()
    delay: float = 0.0
    status: int = 200
    message: str = ""
    raw: bytes | None = None
    hang: bool = False
    cut_after: int | None = None
    finish_reason: str | None = None
    usage: tuple[int, int] | None = None
    chunk_chars: int = _CHUNK_CHARS

    def __add__(self, other: Turn) -> Turn:
        return replace(
            self,
            text=self.text + other.text,
            thought=self.thought + other.thought,
            calls=self.calls + other.calls,
            delay=max(self.delay, other.delay),
        )

    @property
    def finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")


def text(content: str, *, delay: float = 0.0, chunk_chars: int = _CHUNK_CHARS) -> Turn:
    """Say `content`; streamed in pieces of `chunk_chars` characters."""
    return Turn(text=content, delay=delay, chunk_chars=chunk_chars)


def thought(content: str) -> Turn:
    """Reason as ``content``, before any text: as the servers of open models stream it
    (``reasoning_content``)."""
    return Turn(thought=content)


def tool_call(
    name: str,
    arguments: Mapping[str, Any] | str | None = None,
    *,
    id: str | None = None,  # noqa: A002 - the protocol's own name
    delay: float = 0.0,
) -> Turn:
    """Ask for a tool. A string as `arguments` goes out as it is, so it may be broken JSON."""
    return Turn(calls=(ToolCall(name, {} if arguments is None else arguments, id),), delay=delay)


def error(status: int = 500, message: str = "scripted error") -> Turn:
    """Answer with an HTTP error in OpenAI's shape."""
    return Turn(status=status, message=message)


def hang() -> Turn:
    """Accept the request and never answer, until the client or the server goes away."""
    return Turn(hang=True)


def nonsense(body: bytes = b"<html>this is no chat completion</html>") -> Turn:
    """Answer 200 with a body that no OpenAI client can read."""
    return Turn(raw=body)


def cut(content: str, *, after: int = 1) -> Turn:
    """Stream `after` chunks of `content`, then drop the connection."""
    return Turn(text=content, cut_after=after)


@dataclass
class RecordedRequest:
    """One request that the model got.

    `disconnected` becomes true when the client left before the answer was complete; `finished`
    when the whole answer was sent.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    disconnected: bool = False
    finished: bool = False

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body.get("messages") or [])

    @property
    def tools(self) -> list[str]:
        """The names of the tools offered."""
        return [str(t.get("function", {}).get("name")) for t in self.body.get("tools") or []]

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def system(self) -> str:
        """All system (or developer) text."""
        roles = ("system", "developer")
        return "\n".join(content_text(m) for m in self.messages if m.get("role") in roles)

    @property
    def last_user(self) -> str:
        """The newest user message."""
        users = [content_text(m) for m in self.messages if m.get("role") == "user"]
        return users[-1] if users else ""

    @property
    def tool_results(self) -> list[str]:
        """The results of tools in the request, oldest first."""
        return [content_text(m) for m in self.messages if m.get("role") == "tool"]

    @property
    def images(self) -> list[str]:
        """The URLs of the images in the request, in order; those sent along are data URLs."""
        parts = [
            part
            for message in self.messages
            if isinstance(message.get("content"), list)
            for part in message["content"]
            if isinstance(part, dict) and part.get("type") == "image_url"
        ]
        return [str(part["image_url"]["url"]) for part in parts]

    @property
    def text(self) -> str:
        """All text of all messages."""
        return "\n".join(content_text(m) for m in self.messages)


def content_text(message: Mapping[str, Any]) -> str:
    """Give the text of a chat message, whose content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
    return ""


Answer = Turn | Callable[[RecordedRequest], Turn]


@dataclass
class Rule:
    """A turn for every request that `match` accepts, at most `times` times."""

    match: Callable[[RecordedRequest], bool]
    answer: Answer
    times: int | None = None
    used: int = field(default=0, init=False)

    def takes(self, request: RecordedRequest) -> bool:
        return (self.times is None or self.used < self.times) and self.match(request)


def when(
    contains: str | Callable[[RecordedRequest], bool],
    answer: Answer,
    *,
    times: int | None = None,
) -> Rule:
    """Answer so whenever the text of a request contains a string (or a callable says yes)."""
    if callable(contains):
        return Rule(contains, answer, times)
    wanted = contains
    return Rule(lambda request: wanted in request.text, answer, times)
