"""A run of smolagents that waits for its human: what it asked, and all that it needs to go on."""

from __future__ import annotations

import base64
import copy
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codin.agent.adapters._message import result_text
from codin.agent.adapters.smolagents.copy import SentImage
from codin.agent.adapters.smolagents.reader import Asks
from codin.agent.answers import answer
from codin.agent.base import Task
from codin.agent.events import InputRequest

_TOOL = "UserInputTool"
_LOST = "(interrupted by a question; what it gave is not known)"


@dataclass(slots=True)
class Paused:
    """The agent's memory, and the calls of the turn in which it asked; those that had returned
    have an observation."""

    question: str
    steps: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    observations: dict[str, str]

    @classmethod
    def loads(cls, state: str) -> Paused:
        return cls(**json.loads(state))

    @classmethod
    def of(cls, agent: Any, question: str, observations: dict[str, str]) -> Paused:
        *before, last = agent.memory.steps
        calls = [
            {"id": c.id, "name": c.function.name, "arguments": c.function.arguments}
            for c in last.model_output_message.tool_calls
        ]
        steps = [_kept(step) for step in before]
        steps.append({"model_output": last.model_output})
        return cls(question, steps, calls, observations)

    def request(self) -> InputRequest:
        return InputRequest(
            request_id=uuid.uuid4().hex,
            prompt=self.question,
            state=json.dumps(asdict(self)),
        )

    def resume(self, agent: Any, task: Task) -> list[tuple[str, str, str]]:
        """Give ``agent`` its memory, with the answer; the calls that return with it."""
        given = result_text(answer(task.message))
        asked = [call for call in self.calls if _asks(agent.tools.get(call["name"]))]
        answered = {call["id"]: given for call in asked}
        agent.memory.steps = [_step(number, kept) for number, kept in enumerate(self.steps)]
        last = agent.memory.steps[-1]
        last.tool_calls = [_call(call) for call in self.calls]
        last.observations = "\n".join(
            {**answered, **self.observations}.get(call["id"], _LOST) for call in self.calls
        )
        return [(call["id"], call["name"], given) for call in asked]


def ask_by_ending(agent: Any) -> None:
    """Have the tool of ``agent`` that reads from a terminal end the run with its question. There is
    no going on in the middle of code or of a managed agent's work: they are told so."""
    _replace(agent, ends=not hasattr(agent, "python_executor"))
    others = list(agent.managed_agents.values())
    for member in others:
        _replace(member, ends=False)
        others.extend(member.managed_agents.values())


def _replace(agent: Any, *, ends: bool) -> None:
    def forward(question: str) -> str:
        if ends:
            raise Asks(question)
        raise RuntimeError("nobody can be asked here: say in your answer what you need to know")

    for name, tool in agent.tools.items():
        if _asks(tool):
            own = copy.copy(tool)
            own.forward = forward
            agent.tools[name] = own


def _asks(tool: Any) -> bool:
    return any(cls.__name__ == _TOOL for cls in type(tool).__mro__)


def _kept(step: Any) -> dict[str, Any]:
    match type(step).__name__:
        case "TaskStep":
            images = [base64.b64encode(image.raw).decode() for image in step.task_images or ()]
            return {"task": step.task, "images": images}
        case "PlanningStep":
            return {"plan": step.plan}
    return {
        "model_output": step.model_output,
        "calls": [
            {"id": c.id, "name": c.name, "arguments": c.arguments} for c in step.tool_calls or ()
        ],
        "observations": step.observations,
        "error": str(step.error) if step.error is not None else None,
    }


def _step(number: int, kept: dict[str, Any]) -> Any:
    from smolagents import ActionStep, ChatMessage, PlanningStep, TaskStep, Timing

    timing = Timing(start_time=0.0)
    if "task" in kept:
        return TaskStep(task=kept["task"], task_images=_images(kept["images"]))
    if "plan" in kept:
        said = ChatMessage(role="assistant", content=kept["plan"])
        return PlanningStep([], said, plan=kept["plan"], timing=timing)
    return ActionStep(
        step_number=number,
        timing=timing,
        model_output=kept["model_output"],
        tool_calls=[_call(call) for call in kept.get("calls", ())] or None,
        observations=kept.get("observations"),
        error=Exception(kept["error"]) if kept.get("error") else None,
    )


def _images(kept: Sequence[str]) -> list[Any] | None:
    return [SentImage(base64.b64decode(image)) for image in kept] or None


def _call(call: dict[str, Any]) -> Any:
    from smolagents.memory import ToolCall

    return ToolCall(name=call["name"], arguments=call["arguments"], id=call["id"])
