"""Servers that want an answer in a shape of their own, and understand no other.

Strands wants the id of its interrupt back (strands-agents 1.62), ADK the response of the function
that it called (google-adk 2.13). What the answer has to hold goes with the question, as state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from a2a.types import Message, Part
from pydantic import TypeAdapter, ValidationError

from codin.agent._parts import data_part, part_value, plain_value
from codin.agent.answers import answer, approves

_CONFIRMATION = "adk_request_confirmation"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One answer that a server wants: to which interrupt or call."""

    by: Literal["strands", "adk"]
    id: str
    name: str
    prompt: str

    @property
    def is_approval(self) -> bool:
        return self.name == _CONFIRMATION

    def part(self, given: Any) -> Part:
        """``given`` in the shape that is understood over there."""
        if self.by == "strands":
            return data_part({"interruptResponse": {"interruptId": self.id, "response": given}})
        if self.is_approval:
            response: Any = {"confirmed": approves(given)}
        else:
            response = given if isinstance(given, dict) else {"result": given}
        part = data_part({"id": self.id, "name": self.name, "response": response})
        part.metadata.update({"adk_type": "function_response"})
        return part


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task over there that waits: its id, and which answers it wants, if in its own shape."""

    task_id: str
    wanted: tuple[Wanted, ...] = ()

    def state(self) -> str:
        """This as text, for ``of``."""
        return json.dumps(asdict(self)) if self.wanted else self.task_id

    @staticmethod
    def of(state: str) -> Waiting:
        """What ``state`` gave."""
        try:
            return _WAITING.validate_json(state)
        except ValidationError:
            return Waiting(state)

    def shape(self, message: Message) -> None:
        """Have ``message`` answer as it is wanted; one answer is for all that was asked."""
        if self.wanted:
            given = answer(message)
            del message.parts[:]
            message.parts.extend(one.part(given) for one in self.wanted)


_WAITING = TypeAdapter(Waiting)


def wanted_by(message: Message) -> tuple[Wanted, ...]:
    """The answers that the status message of a task wants, in the shape of its server."""
    return tuple(one for part in message.parts if part.HasField("data") for one in _in(part))


def _in(part: Part) -> Iterator[Wanted]:
    value = part_value(part)
    if not isinstance(value, dict):
        return
    for one in value.get("interrupts") or []:
        if isinstance(one, dict) and isinstance(one.get("interruptId"), str):
            said = one.get("reason") or one.get("name")
            yield Wanted("strands", one["interruptId"], "", _text(said))
    marks = part.metadata.fields
    kind = plain_value(marks["adk_type"]) if "adk_type" in marks else None
    if kind == "function_call" and isinstance(value.get("id"), str):
        name, arguments = str(value.get("name")), value.get("args")
        arguments = arguments if isinstance(arguments, dict) else {}
        yield Wanted("adk", value["id"], name, _question(name, arguments))


def _question(name: str, arguments: dict[str, Any]) -> str:
    if name == _CONFIRMATION:
        call = arguments.get("originalFunctionCall")
        call = call if isinstance(call, dict) else {}
        return f"Approve {call.get('name')}({_text(call.get('args') or {})})?"
    texts = [value for value in arguments.values() if isinstance(value, str)]
    return texts[0] if len(arguments) == len(texts) == 1 else f"{name}({_text(arguments)})"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
