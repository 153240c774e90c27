"""Runs of the OpenAI Agents SDK that wait for approvals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from codin.agent.adapters._message import result_text
from codin.agent.answers import approves
from codin.agent.base import AgentError
from codin.agent.events import InputRequest


@dataclass(slots=True)
class Paused:
    """A run that waits: the SDK's state of it, its open calls, and the answers so far.

    ``calls`` are (id, name, arguments as JSON) in the SDK's order, in which it takes the answers.
    An answer is true, or what was said instead. A call with nothing but a ``question`` asks its
    human: what is said is its result, and the tool is not called.
    """

    state: dict[str, Any]
    calls: list[tuple[str, str, str]]
    answers: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, result: Any) -> Paused:
        calls = [
            (item.call_id or "", item.name or "", item.arguments or "{}")
            for item in result.interruptions
        ]
        state = result.to_state().to_json(context_serializer=lambda _: {})
        # It is built anew with the agent, and may hold what nobody else is to see.
        state["context"]["context"] = {}
        return cls(state, calls)

    @classmethod
    def load(cls, state: str) -> Paused:
        """
        Raises:
            AgentError: it is nothing that was kept of such a run.
        """
        try:
            kept = json.loads(state)
            calls = [(str(i), str(name), str(given)) for i, name, given in kept["calls"]]
            return cls(dict(kept["state"]), calls, list(kept["answers"]))
        except (ValueError, KeyError, TypeError) as error:
            raise _cannot(error) from error

    @property
    def waiting(self) -> list[tuple[str, str, str]]:
        """The calls that nobody has answered."""
        return self.calls[len(self.answers) :]

    @property
    def rejected(self) -> frozenset[str]:
        """The ids of the calls that were not approved."""
        pairs = zip(self.calls, self.answers, strict=False)
        return frozenset(c[0] for c, given in pairs if given is not True and not _question(c))

    def answer(self, given: Any) -> None:
        """Take ``given`` as the answer to the call that was asked about."""
        asks = _question(self.waiting[0])
        self.answers.append(True if not asks and approves(given) else result_text(given))

    async def resumed(self, agent: Any, context: Any) -> Any:
        """The SDK's state of the run, answered, with which ``agent`` goes on.

        Raises:
            AgentError: it is of another version of the SDK, or of another agent.
        """
        from agents import RunState
        from agents.exceptions import UserError

        try:
            state = await RunState.from_json(agent, self.state, context_override=context)
        except (UserError, ValueError, KeyError, TypeError) as error:
            raise _cannot(error) from error
        items = state.get_interruptions()
        if [item.call_id or "" for item in items] != [call[0] for call in self.calls]:
            raise _cannot("the agent has other calls now")
        for item, call, given in zip(items, self.calls, self.answers, strict=True):
            if given is True:
                state.approve(item)
            else:
                why = given if _question(call) else f"The call was not approved: {given}"
                state.reject(item, rejection_message=why)
        return state

    def request(self) -> InputRequest:
        call_id, name, arguments = self.waiting[0]
        question = _question(self.waiting[0])
        kept = {"state": self.state, "calls": self.calls, "answers": self.answers}
        return InputRequest(
            request_id=call_id,
            prompt=question or f"Approve {name}({arguments})?",
            request_kind="input" if question else "approval",
            state=json.dumps(kept),
        )


def _question(call: tuple[str, str, str]) -> str:
    """What a call asks its human; empty for one that does something else."""
    try:
        arguments = json.loads(call[2])
    except ValueError:
        return ""
    asked = arguments.get("question") if isinstance(arguments, dict) else None
    return asked if isinstance(asked, str) and len(arguments) == 1 else ""


def _cannot(reason: object) -> AgentError:
    return AgentError(
        f"the run cannot go on from what was kept of it ({reason}): send the task anew"
    )
