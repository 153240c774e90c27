"""An OpenAI conversation as a prompt of the embedded model (ChatML).

The prompt only ever grows at its end from one turn of an agent to the next, so that what the
model has read before is found in its cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codin.model.embedded.toolshape import MENDED, ToolShape

ANSWER = "answer"
ACTION = "Action:"
"""The cue for a name. No space at its end: the model's words begin with theirs."""

_RULES = (
    'Each of your messages starts with a line "Action: NAME", where NAME is one of the tools or'
    ' "answer". After a tool\'s name come its arguments; you then get its result. Use the tools'
    ' to do the task; never guess what a tool can tell. When all is done, write "Action: answer"'
    " and then the final answer in full sentences, with the facts and numbers that were asked for."
)
_AFTER_FAILURE = "It failed. Find the cause and try again in another way."
_EMPTY_RESULT = "(no output; a value is only shown when it is printed)"
_DEFAULT_SYSTEM = "You are a helpful assistant."

_FAILURES = re.compile(
    r"Traceback \(most recent call last\)"
    r"|^[\s*\[]{0,3}(error|failed|failure|exception)\b"
    r"|^[A-Za-z_.]*(Error|Exception): "
    r'|"error": ?["{]'
    r"|\bexit[_ ](code|status)\W{1,3}[1-9]",
    re.IGNORECASE | re.MULTILINE,
)
_ERROR_LINE = re.compile(r"[A-Za-z_.]*(?:Error|Exception): .*")
_ERROR_CHARS = 160
_SPECIAL = re.compile(r"<\|(?=[a-z_]+\|>)")


@dataclass(frozen=True, slots=True)
class PastCall:
    """A tool call that stands in the conversation, and its result once it has one."""

    name: str
    arguments: str
    result: str | None = None

    @property
    def failed(self) -> bool:
        return self.result is not None and looks_failed(self.result)

    @property
    def key(self) -> tuple[str, str]:
        return call_key(self.name, self.arguments)


@dataclass
class Conversation:
    """The prompt, and what was called since the newest word of the user."""

    prompt: str
    calls: list[PastCall] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """How many calls in a row failed, up to now."""
        count = 0
        for call in reversed(self.calls):
            if not call.failed:
                break
            count += 1
        return count

    @property
    def last_error(self) -> str:
        """The line of the newest result that names an error; empty when it was none."""
        if not self.calls or not self.calls[-1].failed:
            return ""
        found = _ERROR_LINE.search(self.calls[-1].result or "")
        return " ".join(found[0].split())[:_ERROR_CHARS] if found else ""


def looks_failed(result: str) -> bool:
    """Whether a tool's result reads like an error."""
    return _FAILURES.search(result) is not None


def call_key(name: str, arguments: str) -> tuple[str, str]:
    """What makes two calls the same: the name, and the arguments but for their spelling and for
    the remark at the head of mended code."""
    try:
        values = json.loads(arguments)
    except ValueError:
        return name, arguments
    if isinstance(values, dict):
        values = {k: MENDED.sub("", v) if isinstance(v, str) else v for k, v in values.items()}
    return name, json.dumps(values, sort_keys=True)


def neutral(text: str) -> str:
    """Text from outside, unable to end a message or to begin one in another's name."""
    return _SPECIAL.sub("<\u200b|", text)


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(p["text"]) for p in content if isinstance(p, dict) and "text" in p)
    return "" if content is None else json.dumps(content)


def render(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[ToolShape], *, result_chars: int
) -> Conversation:
    """The prompt up to where the model's next message begins.

    Args:
        result_chars: longest result of a tool, in characters; of longer ones the middle is left
            out.
    """
    return _Renderer(tools, result_chars).render(messages)


class _Renderer:
    def __init__(self, tools: Sequence[ToolShape], result_chars: int) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._result_chars = result_chars
        self._turns: list[tuple[str, str]] = []
        self._calls: dict[str, PastCall] = {}
        self._recent: list[str] = []

    def render(self, messages: Sequence[Mapping[str, Any]]) -> Conversation:
        system = [text_of(m.get("content")) for m in messages if _role(m) == "system"]
        self._turns.append(("system", self._system("\n\n".join(filter(None, system)))))
        for index, message in enumerate(messages):
            if _role(message) == "user":
                self._user(text_of(message.get("content")))
            elif _role(message) == "assistant":
                self._assistant(message, index)
            elif _role(message) == "tool":
                self._result(message)
        prompt = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in self._turns)
        calls = [self._calls[call] for call in self._recent]
        return Conversation(prompt + "<|im_start|>assistant\n", calls)

    def _system(self, text: str) -> str:
        text = neutral(text or _DEFAULT_SYSTEM)
        if not self._tools:
            return text
        signatures = "\n".join(neutral(tool.signature()) for tool in self._tools.values())
        return f"{text}\n\nTools:\n{signatures}\n\n{_RULES}"

    def _say(self, role: str, text: str) -> None:
        # The model's own format knows no two messages of one role in a row.
        if self._turns[-1][0] == role:
            text = f"{self._turns.pop()[1]}\n\n{text}"
        self._turns.append((role, text))

    def _user(self, text: str) -> None:
        self._recent.clear()
        self._say("user", neutral(text))

    def _assistant(self, message: Mapping[str, Any], index: int) -> None:
        text = neutral(text_of(message.get("content")))
        calls = message.get("tool_calls") or []
        parts = []
        if text:
            parts.append(f"{ACTION} {ANSWER}\n{text}" if self._tools and not calls else text)
        for number, call in enumerate(calls):
            name, arguments = _called(call)
            key = str(call.get("id") or f"{index}.{number}")
            self._calls[key] = PastCall(name, arguments)
            self._recent.append(key)
            parts.append(f"{ACTION} {name}\n{neutral(self._written(name, arguments))}")
        self._say("assistant", "\n".join(parts))

    def _written(self, name: str, arguments: str) -> str:
        try:
            values = json.loads(arguments)
        except ValueError:
            return arguments
        shape = self._tools.get(name)
        if shape is None or not isinstance(values, dict):
            return arguments
        return shape.written(values)

    def _result(self, message: Mapping[str, Any]) -> None:
        key = str(message.get("tool_call_id"))
        result = _unwrapped(text_of(message.get("content")))
        call = self._calls.get(key)
        name = call.name if call else str(message.get("name") or "tool")
        if call is not None:
            self._calls[key] = PastCall(call.name, call.arguments, result)
        shown = neutral(_shortened(result, self._result_chars)) or _EMPTY_RESULT
        hint = f"\n{_AFTER_FAILURE}" if looks_failed(result) else ""
        self._say("user", f"Result of {name}:\n{shown}{hint}")


def _role(message: Mapping[str, Any]) -> str:
    role = str(message.get("role"))
    return {"developer": "system", "function": "tool"}.get(role, role)


def _called(call: Mapping[str, Any]) -> tuple[str, str]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return str(function.get("name")), text


def _unwrapped(result: str) -> str:
    """Text that a framework put into a JSON object of its own, as text again."""
    if not result.startswith("{"):
        return result
    try:
        values = json.loads(result)
    except ValueError:
        return result
    if isinstance(values, dict) and len(values) == 1:
        name, value = next(iter(values.items()))
        if isinstance(value, str) and name in ("result", "output", "content"):
            return value
        if isinstance(value, str) and name == "error":
            return f"Error: {value}"
    return result


def _shortened(text: str, most: int) -> str:
    text = text.strip()
    if len(text) <= most:
        return text
    head, tail = text[: most * 2 // 3], text[-most // 3 :]
    return f"{head}\n[... {len(text) - most} characters left out ...]\n{tail}"
