"""What a step is told, and what a goal answers: texts of steps, put together."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codin.agent.a2a import data_part, user_message
from codin.agent.planning.plan import Plan
from codin.agent.planning.step import Step
from codin.jsontext import encoded
from codin.task.log._json import digest
from codin.task.step_tools import told_tools

if TYPE_CHECKING:
    from a2a.types import Message

FINDING_CHARS = 4_000
HISTORY_CHARS = 1_500
_ERROR_CHARS = 1_000
_MOST_REACHED = 20

_NUMBER = re.compile(r"(?<![\w.])[-\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]|\.\d)")


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step gave: its last message, the files that it made, and its data, if any."""

    text: str
    files: tuple[str, ...] = ()
    data: Any = None

    @property
    def value(self) -> Any:
        """Its data, or its text where it gave none."""
        return self.text if self.data is None else self.data


def joined(outputs: Sequence[StepOutput]) -> StepOutput:
    """What a step with a map gave, from what its items gave, in their order."""
    texts = [f"{place}. {output.text.strip()}" for place, output in enumerate(outputs, 1)]
    files = dict.fromkeys(file for output in outputs for file in output.files)
    return StepOutput("\n".join(texts), tuple(files), [output.value for output in outputs])


def step_message(
    step: Step,
    outputs: Mapping[str, StepOutput],
    agents: Mapping[str, str],
    *,
    goal_id: str,
    context_id: str,
    values: Mapping[str, Any] | None = None,
    history: Sequence[Message] = (),
    error: str | None = None,
    files: str = "",
) -> Message:
    """The message that gives ``step`` to its agent: what is in the files, what the steps that it
    needs have found, the ``values`` of its inputs, what went wrong before, and at the end, where
    small models heed it most, the instruction. ``agents`` are agent ids by step id."""
    needed = {need: outputs[need] for need in step.needs if need in outputs}
    blocks = [f"The files:\n{files}"] if files else []
    if needed:
        blocks.append("Findings so far:")
        blocks += [_block(agents.get(key, key), output) for key, output in needed.items()]
    if values:
        blocks.append("Inputs:\n" + "\n".join(_input(*one) for one in values.items()))
    if history:
        blocks.append("Earlier in this conversation:\n" + _transcript(history))
    if error:
        blocks.append(
            "An earlier attempt at this failed: "
            + cut(error, _ERROR_CHARS)
            + "\nAvoid that this time."
        )
    blocks.append(f"Your task: {step.instruction}" if blocks else step.instruction)
    inputs = [
        {
            "id": key,
            "agent": agents.get(key, ""),
            "text": cut(output.text, FINDING_CHARS),
            "files": list(output.files),
        }
        for key, output in needed.items()
    ]
    payload = {"type": "inputs", "step": step.id, "inputs": inputs}
    part = data_part(payload | ({"values": dict(values)} if values else {}))
    message = user_message(
        "\n\n".join(blocks),
        context_id=context_id,
        parts=[part],
        metadata=None if step.tools is None else told_tools(step.tools),
    )
    message.message_id = digest(context_id)[:32]  # the same attempt makes one task
    message.reference_task_ids.append(goal_id)
    return message


def answer(plan: Plan, outputs: Mapping[str, StepOutput], readers: Collection[str] = ()) -> str:
    """The goal's answer: what the plan's last steps said. Numbers that they were given and left out
    are not lost: then the texts that have them follow as findings.

    Not so for ``readers``, agents that look into files themselves: what they were given led them
    there, and is no result.
    """
    said = "\n\n".join(text for step in plan.sinks if (text := outputs[step.id].text.strip()))
    retold = [step for step in plan.sinks if step.agent not in readers]
    needed = dict.fromkeys(need for step in retold for need in step.needs)
    left_out = [
        cut(text, FINDING_CHARS)
        for need in needed
        if (text := outputs[need].text.strip()) and lacks_numbers(said, text)
    ]
    if not left_out:
        return said
    return "\n\n".join(part for part in (said, "Findings:", *left_out) if part)


def reached(plan: Plan, outputs: Mapping[str, StepOutput]) -> str:
    """What a plan that was stopped has come to: the outputs that no finished step has used."""
    done = [step for step in plan.steps if step.id in outputs]
    used = {need for step in done for need in step.after}
    last = [step for step in done if step.id not in used]
    said = f"Not finished: {len(done)} of {len(plan.steps)} steps were done."
    found = [f"[{step.agent}] {cut(outputs[step.id].text, FINDING_CHARS)}" for step in last]
    return "\n\n".join([said, *found[:_MOST_REACHED]])


def lacks_numbers(text: str, source: str) -> bool:
    """Whether ``source`` has a number that ``text`` does not have, rounded or not. Whole numbers of
    one digit are not looked at: they count things in passing."""
    said = set(_numbers(text))
    return any(
        not any(_same(number, other) for other in said)
        for number in set(_numbers(source)) - said
        if len(number.lstrip("-")) > 1
    )


def cut(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters, and a mark where something is missing."""
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 6].rstrip() + " [...]"


def _block(agent: str, output: StepOutput) -> str:
    files = f"\nFiles: {', '.join(output.files)}" if output.files else ""
    return f"[{agent}] {cut(output.text, FINDING_CHARS)}{files}"


def _input(name: str, value: Any) -> str:
    shown = value if isinstance(value, str) else encoded(value).decode()
    return f"{name}: {cut(shown, FINDING_CHARS)}"


def _transcript(history: Sequence[Message]) -> str:
    from a2a.types import Role

    lines = []
    for message in history[-4:]:
        text = " ".join(part.text for part in message.parts if part.HasField("text"))
        who = "user" if message.role == Role.ROLE_USER else "answer"
        lines.append(f"{who}: {cut(text, HISTORY_CHARS // 4)}")
    return "\n".join(lines)


def _numbers(text: str) -> Iterable[str]:
    for match in _NUMBER.finditer(text):
        yield match[0].replace(",", "").replace("\u2212", "-")


def _same(exact: str, said: str) -> bool:
    """Whether ``said`` is ``exact``, or is it rounded to as many places as it has."""
    places = len(said.partition(".")[2])
    return abs(float(exact) - float(said)) <= 0.5 * 10**-places + 1e-9 and (
        float(exact) == float(said) or places < len(exact.partition(".")[2])
    )
