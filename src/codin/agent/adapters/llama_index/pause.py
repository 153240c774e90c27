"""A run of LlamaIndex's that waits for somebody: what it asked, and all that it needs to go on."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from a2a.types import Message

from codin.agent._parts import jsonable
from codin.agent.adapters._answer import complaint, fitted
from codin.agent.adapters._message import result_text
from codin.agent.answers import answer, approves
from codin.agent.base import AgentError, Task
from codin.agent.events import InputRequest

_PROMPTS = ("prefix", "prompt", "question", "message")
_KIND = "request_kind"


@dataclass(slots=True)
class Paused:
    """The workflow's context as JSON, the messages of its memory, and the questions that are open:
    steps that wait side by side may each have asked one."""

    context: dict[str, Any]
    memory: list[dict[str, Any]] | None
    waits_for: str
    asked: list[dict[str, Any]]

    @classmethod
    def loads(cls, task: Task) -> Paused | None:
        """What ``task`` goes on with, if it does."""
        return cls(**json.loads(task.state)) if task.state else None

    @classmethod
    async def of(cls, workflow: Any, handler: Any, asked: Sequence[dict[str, Any]]) -> Paused:
        """That of a run in which nothing moves any more until the questions are answered."""
        from llama_index.core.workflow import JsonSerializer

        memory = await handler.ctx.store.get("memory", default=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its memory, which is kept beside it
            try:
                context = handler.ctx.to_dict(serializer=JsonSerializer())
            except Exception as error:
                raise AgentError(
                    f"the workflow asks for input and cannot be kept until the answer: {error}"
                ) from error
        return cls(
            context=context,
            memory=memory and [m.model_dump(mode="json") for m in await memory.aget_all()],
            waits_for=_awaited(context) or _accepted(workflow),
            asked=list(asked),
        )

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    def misfit(self, message: Message) -> str:
        """Why ``message`` is no answer to the first question; empty when it is one."""
        return "" if self._approves else _fitted(answer(message), self.waits_for)[1]

    async def resume(self, workflow: Any, message: Message) -> Any:
        """The workflow, going on with ``message`` as the answer to the first question."""
        from llama_index.core.llms import ChatMessage
        from llama_index.core.memory import ChatMemoryBuffer
        from llama_index.core.workflow import Context, JsonSerializer

        event = self._event(answer(message))
        self.asked.pop(0)
        context = Context.from_dict(workflow, self.context, serializer=JsonSerializer())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handler = workflow.run(ctx=context)
        if self.memory is not None:
            said = [ChatMessage.model_validate(message) for message in self.memory]
            memory = ChatMemoryBuffer.from_defaults(chat_history=said)
            await handler.ctx.store.set("memory", memory)  # nothing moves before the answer
        handler.ctx.send_event(event)
        return handler

    @property
    def _approves(self) -> bool:
        return self.asked[0].get(_KIND) == "approval"

    def _event(self, given: Any) -> Any:
        """The answer: with the fields of the question, by which it is found, and what was said."""
        kept = {k: v for k, v in self.asked[0].items() if k not in (*_PROMPTS, _KIND)}
        if self._approves:
            yes = approves(given)
            said = "yes" if yes else given if isinstance(given, str) else "no"
            fields = {"approved": yes, "response": said}
        else:
            value, _ = _fitted(given, self.waits_for)
            fields = value if isinstance(value, dict) else {"response": value}
        return _response(self.waits_for)(**{**kept, **fields})


def question(paused: Paused, wrong: str = "") -> InputRequest:
    """The first of its open questions; once more, where the answer was ``wrong``."""
    asked = paused.asked[0]
    said = next((asked[key] for key in _PROMPTS if isinstance(asked.get(key), str)), None)
    approval = asked.get(_KIND) == "approval"
    return InputRequest(
        request_id=uuid.uuid4().hex,
        prompt=complaint(wrong) + (said or result_text(asked)),
        answer_schema=None if approval else _schema(paused.waits_for),
        request_kind="approval" if approval else "input",
        state=paused.dumps(),
    )


def fields(event: Any) -> dict[str, Any]:
    """What an event or another model says, by name."""
    declared = event.model_dump(mode="json")
    return {**declared, **jsonable(declared.pop("_data", {}))}


def _awaited(context: Mapping[str, Any]) -> str:
    """The full name of the event that a step waits for; empty when a step of its own takes it."""
    workers = context.get("workers", {}).values()
    waiters = [waiter for worker in workers for waiter in worker.get("collected_waiters", ())]
    return next((str(w["waiting_for_event"]) for w in waiters if not w.get("resolved_event")), "")


def _accepted(workflow: Any) -> str:
    """The same, of the answer for which a workflow has a step."""
    from llama_index.core.workflow import HumanResponseEvent

    kinds = [kind for kind in workflow.events if issubclass(kind, HumanResponseEvent)]
    return f"{kinds[0].__module__}.{kinds[0].__qualname__}" if kinds else ""


def _fitted(given: Any, name: str) -> tuple[Any, str]:
    """``given`` as the fields of the answer ``name``, and why it does not fit, if so."""
    schema = _schema(name)
    fields = list(_response(name).model_fields)
    if schema is None or len(fields) != 1 or isinstance(given, dict):
        return fitted(given, schema)
    value, wrong = fitted(given, schema["properties"][fields[0]])
    return {fields[0]: value}, wrong


def _schema(name: str) -> dict[str, Any] | None:
    cls = _response(name)
    schema: dict[str, Any] | None = cls.model_json_schema() if cls.model_fields else None
    return schema


def _response(name: str) -> Any:
    """The kind of ``HumanResponseEvent`` that has the full name ``name``; the plain one without."""
    from llama_index.core.workflow import HumanResponseEvent

    kinds = [HumanResponseEvent]
    for kind in kinds:
        if not name or f"{kind.__module__}.{kind.__qualname__}" == name:
            return kind
        kinds.extend(kind.__subclasses__())
    raise AgentError(
        f"the workflow waits for {name}, which is no HumanResponseEvent and cannot be answered"
    )
