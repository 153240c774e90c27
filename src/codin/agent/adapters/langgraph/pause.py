"""What a LangGraph run that waits for an answer needs in order to go on, in whatever process."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from a2a.types import Message

from codin.agent._parts import jsonable
from codin.agent.adapters._answer import complaint, fitted
from codin.agent.adapters._message import result_text
from codin.agent.adapters.langgraph.io import all_messages
from codin.agent.answers import answer, approves
from codin.agent.base import AgentError
from codin.agent.events import InputRequest

_ACTIONS = "action_requests"
_BREAKPOINT = "breakpoint"
_DECISIONS = frozenset({"approve", "edit", "reject", "respond"})


@dataclass(slots=True)
class Question:
    """One question of an interrupt. LangChain's human-in-the-loop middleware asks about several
    actions in one; each is a question of its own here, ``action`` its number. ``respond`` says that
    the answer is what the action gives, instead of being done."""

    interrupt: str
    prompt: str
    action: int | None = None
    approval: bool = False
    respond: bool = False
    schema: dict[str, Any] | None = None


@dataclass(slots=True)
class Paused:
    """A thread's checkpoints as they are stored, what is still to be asked, and the answers."""

    thread: str
    questions: list[Question]
    answers: dict[str, Any] = field(default_factory=dict)
    complaint: str = ""
    stopped: bool = False
    """Whether the graph waited at a breakpoint and is not to go on."""

    @staticmethod
    def load(state: str) -> Paused:
        """What ``request`` gave as state. Raises what is wrong with one that it did not give."""
        given = json.loads(state)
        given["questions"] = [Question(**question) for question in given["questions"]]
        if not given["questions"]:
            raise ValueError("it asks nothing")
        return Paused(**given)

    def request(self) -> InputRequest | None:
        """The next question to ask; None when all are answered."""
        if not self.questions:
            return None
        asked = self.questions[0]
        number = "" if asked.action is None else f"-{asked.action}"
        return InputRequest(
            request_id=asked.interrupt + number,
            prompt=f"{self.complaint}{asked.prompt}",
            answer_schema=asked.schema,
            request_kind="approval" if asked.approval else "input",
            state=json.dumps({**asdict(self), "complaint": ""}),
        )

    def answered(self, message: Message) -> None:
        """Take ``message`` as the answer to the question asked last. An answer that does not fit
        the schema of the question is none: it is asked again, with the reason in front."""
        asked = self.questions[0]
        given = answer(message)
        whole = given.get("decisions") if isinstance(given, Mapping) else None
        if asked.action is not None and isinstance(whole, Sequence):
            # An answer as the middleware itself takes it: to all its questions at once.
            self.questions = [q for q in self.questions if q.interrupt != asked.interrupt]
            self.answers[asked.interrupt] = given
            return
        if asked.interrupt == _BREAKPOINT:
            self.questions, self.stopped = [], not approves(given)
            return
        if asked.respond:
            given = {"type": "respond", "message": result_text(given)}
        elif asked.approval:
            given = _decision(given)
        given, wrong = fitted(given, asked.schema)
        self.complaint = complaint(wrong)
        if wrong:
            return
        self.questions.pop(0)
        if asked.action is None:
            self.answers[asked.interrupt] = given
        else:
            decisions = self.answers.setdefault(asked.interrupt, {"decisions": []})["decisions"]
            decisions.append(given)

    def command(self) -> Any:
        """What makes the graph go on with the answers."""
        from langgraph.types import Command

        return Command(resume=self.answers) if self.answers else None


class Thread:
    """A graph with ``store`` and a checkpointer of its own, empty or as it was when the run
    paused."""

    def __init__(self, graph: Any, paused: Paused | None, store: Any) -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        own = getattr(graph.checkpointer, "serde", None)
        self._saver = InMemorySaver(serde=_serde(own or InMemorySaver().serde))
        self.id = uuid.uuid4().hex
        if paused is not None:
            self.id = self._restore(paused.thread)
        self.config = {"configurable": {"thread_id": self.id}}
        self.graph = graph.copy(update={"checkpointer": self._saver, "store": store})

    def paused(self, state: Any) -> Paused | None:
        """What the run needs to go on, and what it asks; None when it is at its end.

        Raises:
            AgentError: the graph's state cannot be stored.
        """
        if not state.interrupts and not state.next:
            return None
        questions = [q for i in state.interrupts for q in _questions(i)]
        return Paused(self._stored(), questions or [_breakpoint(state)])

    async def state(self) -> Any:
        """The graph's state as it is now."""
        return await self.graph.aget_state(self.config)

    async def messages(self) -> list[Any]:
        """All messages that the thread has so far, those of its subgraphs too."""
        return list(_of_state(await self.graph.aget_state(self.config, subgraphs=True)))

    def _stored(self) -> str:
        saved = [
            {
                "config": kept.config["configurable"],
                "parent": (kept.parent_config or {}).get("configurable"),
                "checkpoint": kept.checkpoint,
                "metadata": kept.metadata,
                "writes": kept.pending_writes,
            }
            for kept in self._saver.list({"configurable": {"thread_id": self.id}})
        ]
        kind, data = self._saver.serde.stored({"thread": self.id, "saved": saved})
        return f"{kind}:{base64.b64encode(data).decode()}"

    def _restore(self, stored: str) -> str:
        kind, _, data = stored.partition(":")
        thread = self._saver.serde.loads_typed((kind, base64.b64decode(data)))
        for kept in reversed(thread["saved"]):
            before = kept["parent"] or {
                k: v for k, v in kept["config"].items() if k != "checkpoint_id"
            }
            versions = kept["checkpoint"]["channel_versions"]
            config = self._saver.put(
                {"configurable": before}, kept["checkpoint"], kept["metadata"], versions
            )
            by_task: dict[str, list[tuple[str, Any]]] = {}
            for task_id, channel, value in kept["writes"]:
                by_task.setdefault(task_id, []).append((channel, value))
            for task_id, writes in by_task.items():
                self._saver.put_writes(config, writes, task_id)
        return str(thread["thread"])


def _serde(inner: Any) -> Any:
    """``inner``, for a saver that outlives a run only if that pauses: what cannot be serialised is
    kept as it is, and is an error only when the run has to be stored."""

    class Serde:
        def __init__(self) -> None:
            self._held: dict[bytes, Any] = {}

        def dumps_typed(self, value: Any) -> tuple[str, bytes]:
            try:
                typed: tuple[str, bytes] = inner.dumps_typed(value)
                return typed
            except (TypeError, ValueError):
                key = str(len(self._held)).encode()
                self._held[key] = value
                return "held", key

        def loads_typed(self, data: tuple[str, bytes]) -> Any:
            return self._held[data[1]] if data[0] == "held" else inner.loads_typed(data)

        def stored(self, value: Any) -> tuple[str, bytes]:
            try:
                typed: tuple[str, bytes] = inner.dumps_typed(value)
                return typed
            except (TypeError, ValueError) as error:
                raise AgentError(
                    f"the graph cannot wait for an answer, for its state cannot be stored: {error};"
                    " keep in it only what can be serialised"
                ) from error

    return Serde()


def _of_state(state: Any) -> Iterable[Any]:
    yield from all_messages(state.values)
    for task in state.tasks:
        if hasattr(task.state, "values"):
            yield from _of_state(task.state)


def _questions(interrupt: Any) -> list[Question]:
    value = interrupt.value
    schema = interrupt.response_schema
    actions = value.get(_ACTIONS) if isinstance(value, Mapping) else None
    if isinstance(actions, Sequence) and actions:
        reviews = value.get("review_configs") or ()
        return [
            _action(interrupt.id, number, action, reviews[number] if reviews else {})
            for number, action in enumerate(actions)
        ]
    if isinstance(value, Mapping) and value.get("type") == "tool_approval":
        return [Question(interrupt.id, _approve(value), approval=True, schema=schema)]
    return [Question(interrupt.id, _prompt(value), schema=schema)]


def _action(
    interrupt: str, number: int, action: Mapping[str, Any], review: Mapping[str, Any]
) -> Question:
    if review.get("allowed_decisions") == ["respond"]:
        return Question(interrupt, _asks(action), number, respond=True)
    return Question(interrupt, _approve(action), number, approval=True)


def _approve(action: Mapping[str, Any]) -> str:
    """What is asked: the call, after what its author says of it; the middleware says the call."""
    said = str(action.get("description") or "")
    own = "" if f"\n\nTool: {action.get('name')}\nArgs: " in said else said
    return f"{own}\nApprove {_called(action)}?".lstrip()


def _asks(action: Mapping[str, Any]) -> str:
    """The question of a tool that is answered and not done: the only text that it is called with,
    or the call."""
    texts = [text for text in (action.get("args") or {}).values() if isinstance(text, str)]
    return texts[0] if len(texts) == 1 else f"{_called(action)} waits for its result"


def _breakpoint(state: Any) -> Question:
    """What is asked where a graph was compiled to stop (``interrupt_before``, ``_after``)."""
    last = next(iter(reversed(list(all_messages(state.values)))), None)
    calls = [_called(call) for call in getattr(last, "tool_calls", ())]
    what = ", ".join(calls or state.next)
    return Question(_BREAKPOINT, f"Go on with {what}?", approval=True)


def _called(action: Mapping[str, Any]) -> str:
    return f"{action.get('name')}({json.dumps(jsonable(action.get('args')))})"


def _prompt(value: Any) -> str:
    if isinstance(value, Mapping):
        for key in ("question", "prompt", "message", "description"):
            if isinstance(value.get(key), str):
                return str(value[key])
    return result_text(value)


def _decision(given: Any) -> Any:
    """An answer to a question of approval as a decision of LangChain's middleware."""
    if isinstance(given, Mapping) and given.get("type") in _DECISIONS:
        return dict(given)
    if approves(given):
        return {"type": "approve"}
    return {"type": "reject", **({"message": given} if isinstance(given, str) else {})}
