"""Runs of Pydantic AI that wait for answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters._message import result_text
from codin.agent.answers import approves
from codin.agent.base import AgentError
from codin.agent.events import InputRequest

_QUESTION = ("question", "prompt", "message", "reason")


@dataclass(slots=True)
class Paused:
    """A run that waits for answers: what was said in it, its open calls, the answers so far."""

    messages: list[Any]
    requests: Any
    answers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Any) -> Paused:
        return cls(result.all_messages(), result.output)

    @classmethod
    def load(cls, state: str) -> Paused:
        """
        Raises:
            AgentError: it cannot be read, as it is of another version of Pydantic AI perhaps.
        """
        from pydantic import TypeAdapter
        from pydantic_ai import DeferredToolRequests, ModelMessagesTypeAdapter

        try:
            kept = json.loads(state)
            messages = ModelMessagesTypeAdapter.validate_python(kept["messages"])
            requests = TypeAdapter(DeferredToolRequests).validate_python(kept["requests"])
            return cls(messages, requests, dict(kept["answers"]))
        except (ValueError, KeyError, TypeError) as error:
            raise AgentError(
                f"the run cannot go on from what was kept of it ({error}): send the task anew"
            ) from error

    @property
    def state(self) -> str:
        from pydantic import TypeAdapter
        from pydantic_ai import DeferredToolRequests, ModelMessagesTypeAdapter

        kept = {
            "messages": ModelMessagesTypeAdapter.dump_python(self.messages, mode="json"),
            "requests": TypeAdapter(DeferredToolRequests).dump_python(self.requests, mode="json"),
            "answers": self.answers,
        }
        return json.dumps(kept)

    @property
    def waiting(self) -> list[Any]:
        """The calls that nobody has answered."""
        calls = [*self.requests.approvals, *self.requests.calls]
        return [call for call in calls if call.tool_call_id not in self.answers]

    def answer(self, given: Any) -> None:
        """Take ``given`` as the answer to the call that was asked about."""
        call = self.waiting[0]
        if self.requests.kind(call.tool_call_id) == "approval":
            given = True if approves(given) else result_text(given)
        self.answers[call.tool_call_id] = given

    def resumed(self) -> dict[str, Any]:
        """What a run is given so that it goes on."""
        from pydantic_ai.tools import DeferredToolResults, ToolDenied

        approvals: dict[str, Any] = {}
        calls: dict[str, Any] = {}
        for call_id, given in self.answers.items():
            if self.requests.kind(call_id) != "approval":
                calls[call_id] = given
            elif given is True:
                approvals[call_id] = True
            else:
                approvals[call_id] = ToolDenied(f"The call was not approved: {given}")
        results = DeferredToolResults(calls=calls, approvals=approvals)
        return {"message_history": self.messages, "deferred_tool_results": results}

    def request(self) -> InputRequest:
        call = self.waiting[0]
        approval = self.requests.kind(call.tool_call_id) == "approval"
        return InputRequest(
            request_id=call.tool_call_id,
            prompt=_question(call, self.requests.metadata.get(call.tool_call_id), approval),
            request_kind="approval" if approval else "input",
            state=self.state,
        )


def arguments_of(part: Any) -> dict[str, Any]:
    """The arguments of a call, as far as they can be read."""
    try:
        return dict(part.args_as_dict())
    except (ValueError, AssertionError):
        return {"arguments": part.args}


def _question(call: Any, metadata: Any, approval: bool) -> str:
    arguments = arguments_of(call)
    asked = metadata if isinstance(metadata, dict) else {}
    said = [str(asked[key]) for key in _QUESTION if isinstance(asked.get(key), str)][:1]
    called = f"{call.tool_name}({json.dumps(jsonable(arguments))})"
    if approval:
        return " ".join([f"Approve {called}?", *said])
    said += [str(arguments[key]) for key in _QUESTION if isinstance(arguments.get(key), str)]
    return said[0] if said else f"{called} waits for its result"
