"""A run of Agno's that waits for somebody: what it asks, and all that it needs to go on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters._message import result_text
from codin.agent.answers import approves
from codin.agent.base import AgentError
from codin.agent.events import InputRequest

_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


class Pause:
    """A paused run in its session. Its questions are asked one by one, the first open one first."""

    def __init__(self, session: Any, run_id: str) -> None:
        self.session = session
        self.run_id = run_id
        runs = [each for each in session.runs or [] if each.run_id == run_id]
        if not runs:
            raise AgentError(f"Agno's session has no run {run_id} to go on with")
        self._paused = runs[-1]

    @classmethod
    def of(cls, session: Any, run_id: str) -> Pause | None:
        """The run ``run_id``, where it waits for somebody."""
        pause = cls(session, run_id)
        return pause if pause.is_open else None

    @classmethod
    def load(cls, state: str, subject: Any) -> Pause:
        """The paused run of ``subject`` from what the input request had for state.

        Raises:
            AgentError: it is not of such a run.
        """
        from agno.session import AgentSession, TeamSession, WorkflowSession

        is_team, is_workflow = hasattr(subject, "members"), hasattr(subject, "steps")
        kind = WorkflowSession if is_workflow else TeamSession if is_team else AgentSession
        try:
            kept = json.loads(state)
            return cls(kind.from_dict(kept["session"]), kept["run_id"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AgentError(
                "what the run left when it paused cannot be read any more (was the agent changed "
                f"since?): {type(error).__name__}: {error}; ask it anew"
            ) from error

    @property
    def is_open(self) -> bool:
        """Whether there is still something to ask."""
        return self._first() is not None

    def request(self) -> InputRequest:
        """The first open question, with the state to go on from."""
        first = self._first()
        if first is None:
            raise AgentError("nothing is left to ask")
        state = json.dumps(
            {"run_id": self.run_id, "session": jsonable(self.session.to_dict())},
            ensure_ascii=False,
        )
        return first.request().model_copy(update={"state": state})

    def answer(self, given: Any) -> None:
        """Take ``given`` as the answer to the first open question."""
        if (first := self._first()) is not None:
            first.answer(given)

    def decisions(self) -> dict[str, Any]:
        """The run and its answers, as what continues it takes them."""
        if hasattr(self._paused, "step_requirements"):
            return {"run_response": self._paused}
        return {"run_id": self.run_id, "requirements": self._paused.requirements}

    def _first(self) -> _Question | None:
        return next((each for each in self._questions() if each.is_open), None)

    def _questions(self) -> Sequence[_Question]:
        from agno.run.requirement import RunRequirement

        if not hasattr(self._paused, "step_requirements"):
            return [_Call(each) for each in self._paused.requirements or []]
        questions: list[_Question] = [_Error(e) for e in self._paused.error_requirements or []]
        # Those before the last one are of earlier pauses.
        for step in (self._paused.step_requirements or [])[-1:]:
            inside = step.executor_requirements or []
            step.executor_requirements = [
                RunRequirement.from_dict(each) if isinstance(each, dict) else each
                for each in inside
            ]
            questions += [_Call(each) for each in step.executor_requirements]
            questions.append(_Step(step))
        return questions


class _Question(ABC):
    """Something that a person has to say."""

    def __init__(self, asked: Any) -> None:
        self.asked = asked

    @property
    @abstractmethod
    def is_open(self) -> bool: ...

    @abstractmethod
    def request(self) -> InputRequest: ...

    @abstractmethod
    def answer(self, given: Any) -> None: ...


class _Call(_Question):
    """A tool's call: to be approved, completed or made by a person."""

    @property
    def is_open(self) -> bool:
        return not self.asked.is_resolved()

    def request(self) -> InputRequest:
        asked, tool = self.asked, self.asked.tool_execution
        called = f"{tool.tool_name}({json.dumps(jsonable(tool.tool_args or {}))})"
        if asked.needs_confirmation:
            return InputRequest(
                request_id=asked.id, prompt=f"Approve {called}?", request_kind="approval"
            )
        if asked.needs_user_feedback:
            return self._choice()
        if asked.needs_user_input:
            return InputRequest(
                request_id=asked.id,
                prompt=f"{tool.tool_name} needs: {_wanted(_open_fields(asked))}",
                answer_schema=_schema(_open_fields(asked)),
            )
        return InputRequest(request_id=asked.id, prompt=f"{called} waits for its result")

    def _choice(self) -> InputRequest:
        question = _open_questions(self.asked)[0]
        labels = [option.label for option in question.options or []]
        return InputRequest(
            request_id=self.asked.id,
            prompt=f"{question.question} ({', '.join(labels)})" if labels else question.question,
            answer_schema={"type": "string", "enum": labels} if labels else None,
        )

    def answer(self, given: Any) -> None:
        asked = self.asked
        if asked.needs_confirmation:
            if approves(given):
                asked.confirm()
            else:
                asked.reject(note=None if isinstance(given, dict) else str(given))
        elif asked.needs_user_feedback:
            chosen = [str(each) for each in given] if isinstance(given, list) else [str(given)]
            asked.provide_user_feedback({_open_questions(asked)[0].question: chosen})
        elif asked.needs_user_input:
            asked.provide_user_input(_values(_open_fields(asked), given))
        else:
            asked.set_external_execution_result(result_text(given))


class _Step(_Question):
    """A step of a workflow: to be approved, told something, or chosen."""

    @property
    def is_open(self) -> bool:
        # What its agent asks is asked by the questions before it.
        return not self.asked.is_resolved and not self.asked.requires_executor_input

    def request(self) -> InputRequest:
        asked, name = self.asked, self.asked.step_name or self.asked.step_id
        if asked.needs_user_input:
            fields = _open_fields(asked)
            return InputRequest(
                request_id=asked.step_id,
                prompt=asked.user_input_message or f"the step {name!r} needs: {_wanted(fields)}",
                answer_schema=_schema(fields) if fields else None,
            )
        if asked.needs_route_selection:
            ways = [str(way) for way in asked.available_choices or []]
            return InputRequest(
                request_id=asked.step_id,
                prompt=f"{asked.user_input_message or f'Which way from {name!r}?'} "
                f"({', '.join(ways)})",
                answer_schema={"type": "string", "enum": ways},
            )
        said = asked.output_review_message if asked.needs_output_review else None
        said = said or asked.confirmation_message or f"Approve the step {name!r}?"
        made = getattr(asked.step_output, "content", None) if asked.needs_output_review else None
        prompt = said if made is None else f"{said}\n{result_text(made)}"
        return InputRequest(request_id=asked.step_id, prompt=prompt, request_kind="approval")

    def answer(self, given: Any) -> None:
        asked = self.asked
        if asked.needs_user_input:
            fields = _open_fields(asked)
            free = given if isinstance(given, dict) else {"input": given}
            asked.set_user_input(validate=False, **(_values(fields, given) if fields else free))
        elif asked.needs_route_selection:
            chosen = [str(each) for each in given] if isinstance(given, list) else [str(given)]
            asked.select(*[each.strip() for each in chosen])
        elif approves(given):
            asked.confirm()
        else:
            asked.reject(None if isinstance(given, dict) else str(given))


class _Error(_Question):
    """A step that failed and may be tried again."""

    @property
    def is_open(self) -> bool:
        return not self.asked.is_resolved

    def request(self) -> InputRequest:
        asked = self.asked
        return InputRequest(
            request_id=asked.step_id,
            prompt=f"The step {asked.step_name!r} failed: {asked.error_message} "
            "Approve to try it again; otherwise it is left out.",
            request_kind="approval",
        )

    def answer(self, given: Any) -> None:
        if approves(given):
            self.asked.retry()
        else:
            self.asked.skip()


def _open_fields(asked: Any) -> list[Any]:
    return [field for field in asked.user_input_schema or [] if field.value is None]


def _open_questions(asked: Any) -> list[Any]:
    return [each for each in asked.user_feedback_schema or [] if each.selected_options is None]


def _wanted(fields: Sequence[Any]) -> str:
    return ", ".join(f"{f.name} ({f.description})" if f.description else f.name for f in fields)


def _kind(field: Any) -> str:
    own = field.field_type
    return own.__name__ if isinstance(own, type) else str(own)


def _schema(fields: Sequence[Any]) -> dict[str, Any]:
    properties = {f.name: {"type": _TYPES[_kind(f)]} if _kind(f) in _TYPES else {} for f in fields}
    return {"type": "object", "properties": properties, "required": [f.name for f in fields]}


def _values(fields: Sequence[Any], given: Any) -> dict[str, Any]:
    """``given`` as values of ``fields``: an object names them, all else is the first one's."""
    if isinstance(given, Mapping):
        return {str(name): value for name, value in given.items()}
    return {field.name: _typed(field, given) for field in fields[:1]}


def _typed(field: Any, given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        match _kind(field):
            case "int":
                return int(given)
            case "float":
                return float(given)
            case "bool":
                return approves(given)
            case _:
                return given
    except ValueError:
        return given
