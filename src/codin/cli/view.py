"""What a goal looks like at a moment: built up from its events, shown by whoever renders it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from codin.agent.a2a import EventDecoder
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Canceled,
    Completed,
    Failed,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolOutput,
    ToolResult,
)
from codin.task import LogEvent, data_parts, to_stream_response


@dataclass(slots=True)
class CallView:
    """One tool call; ``seconds`` once it has ended."""

    name: str
    arguments: Mapping[str, Any]
    started: float
    output: str = ""
    seconds: float | None = None
    is_error: bool = False
    result: Any = None


@dataclass(slots=True)
class WorkView:
    """The text and the calls of one agent's task."""

    texts: dict[str, str] = field(default_factory=dict)
    calls: dict[str, CallView] = field(default_factory=dict)
    decoder: EventDecoder = field(default_factory=EventDecoder)

    @property
    def text(self) -> str:
        """The last message so far."""
        return next(reversed(self.texts.values()), "")

    def apply(self, event: AgentEvent, time: float) -> None:
        match event:
            case TextDelta(message_id=key, text=text):
                self.texts[key] = self.texts.get(key, "") + text
            case TextFinal(message_id=key, text=text):
                self.texts.pop(key, None)
                self.texts[key] = text
            case ToolCall(call_id=key, name=name, arguments=arguments):
                self.calls[key] = CallView(name, arguments, time)
            case ToolOutput(name=name, text=text):
                if call := self._running(name):
                    call.output += text
            case ToolResult(call_id=key) if key in self.calls:
                call = self.calls[key]
                call.seconds = time - call.started
                call.is_error, call.result = event.is_error, event.content

    def decoded(self, kind: str, body: Mapping[str, Any]) -> Iterator[AgentEvent]:
        """What an entry of the task's log says."""
        response = to_stream_response(kind, body)
        if response is None:
            return
        if self.decoder.ended:  # with a question: now it goes on, or is given up
            self.decoder = EventDecoder()
        yield from self.decoder.decode(response)

    def _running(self, name: str) -> CallView | None:
        """The executor numbers calls by itself: output belongs to the running call of that name."""
        running = [c for c in self.calls.values() if c.name == name and c.seconds is None]
        return running[-1] if running else None


@dataclass(slots=True)
class StepView:
    """One step of the plan, with what its agent does; or of a map, with its ``items`` by id, of
    which there are ``count`` in all."""

    id: str
    agent: str
    what: str
    needs: tuple[str, ...] = ()
    state: str = "waiting"
    attempt: int = 1
    error: str = ""
    started: float | None = None
    ended: float | None = None
    work: WorkView = field(default_factory=WorkView)
    items: dict[str, StepView] = field(default_factory=dict)
    count: int | None = None

    @property
    def done(self) -> int:
        """How many items are done."""
        return sum(item.state == "completed" for item in self.items.values())


@dataclass(slots=True)
class GoalView:
    """A goal, from its first event to its last."""

    task_id: str = ""
    seq: int = 0
    goal: str = ""
    started: float = 0.0
    now: float = 0.0
    model: str = ""
    reason: str = ""
    steps: dict[str, StepView] = field(default_factory=dict)
    files: list[ArtifactProduced] = field(default_factory=list)
    work: WorkView = field(default_factory=WorkView)
    end: AgentEvent | None = None
    paused: bool = False
    attempt: int = 1

    @property
    def answer(self) -> str:
        return self.work.text

    def apply(self, event: LogEvent) -> None:
        """Take in the next event of the goal's log."""
        self.seq, self.now = event.seq, event.time
        if event.kind == "task":
            self._begin(event)
        elif event.kind == "child":
            self._child(event.body, event.time)
        else:
            self._own(event)

    def _begin(self, event: LogEvent) -> None:
        self.task_id, self.started = event.task_id, event.time
        history = event.body.get("history") or [{}]
        parts = history[-1].get("parts", [])
        self.goal = "\n".join(part["text"] for part in parts if "text" in part)

    def _own(self, event: LogEvent) -> None:
        if event.kind == "message":
            self.end = None  # what it asked is answered
        for payload in data_parts(event.body):
            self._payload(payload, event.time)
        for decoded in self.work.decoded(event.kind, event.body):
            self.work.apply(decoded, event.time)
            if isinstance(decoded, ArtifactProduced):
                self.files.append(decoded)
            elif isinstance(decoded, Completed | Failed | Canceled | Rejected | InputRequest):
                self.end = decoded

    def _payload(self, payload: Mapping[str, Any], time: float) -> None:
        match payload.get("type"):
            case "plan":
                self._plan(payload["plan"])
            case "step":
                self._step(payload, time)
            case "map":
                self._map(payload)
            case "model":
                self.model = str(payload.get("label", ""))
            case "paused":
                self.paused = True
            case "attempt":
                self.paused, self.attempt = False, int(payload.get("attempt", 1))

    def _plan(self, plan: Mapping[str, Any]) -> None:
        self.reason = str(plan.get("reason", ""))
        planned = {
            str(step["id"]): StepView(
                str(step["id"]),
                str(step["agent"]),
                str(step.get("title") or step["instruction"]),
                tuple(step.get("needs", ())),
            )
            for step in plan.get("steps", ())
        }
        self.steps = {key: self.steps.get(key, step) for key, step in planned.items()}

    def _step(self, payload: Mapping[str, Any], time: float) -> None:
        step = self._item(payload) if "of" in payload else self.steps.get(str(payload.get("id")))
        if step is None:
            return
        step.state = str(payload.get("state", step.state))
        step.error = str(payload.get("error") or "")
        attempt = int(payload.get("attempt") or step.attempt)
        if step.state == "working" and (step.started is None or attempt != step.attempt):
            step.started, step.ended, step.work = time, None, WorkView()
        elif step.state not in ("working", "waiting"):
            step.ended = time
        step.attempt = attempt

    def _map(self, payload: Mapping[str, Any]) -> None:
        step = self.steps.get(str(payload.get("id")))
        if step is not None and "items" in payload:
            step.count = int(payload["items"])

    def _item(self, payload: Mapping[str, Any]) -> StepView | None:
        above = self.steps.get(str(payload["of"]))
        if above is None:
            return None
        key = str(payload.get("id"))
        return above.items.setdefault(key, StepView(key, above.agent, above.what))

    def _child(self, body: Mapping[str, Any], time: float) -> None:
        name = str(body.get("step"))
        step = self.steps.get(name) or self._known_item(name)
        if step is None:
            return
        for decoded in step.work.decoded(str(body.get("kind")), body.get("body") or {}):
            step.work.apply(decoded, time)

    def _known_item(self, name: str) -> StepView | None:
        above = self.steps.get(name.partition(".")[0])
        return None if above is None else above.items.get(name)
