"""A goal on the terminal: a live tree, or plain lines where there is no terminal."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text
from rich.tree import Tree

from codin.agent.events import Canceled, Completed, Failed, InputRequest, Rejected
from codin.cli.asking import question
from codin.cli.output import print_event
from codin.cli.text import clean, short
from codin.cli.view import CallView, GoalView, StepView
from codin.task import LogEvent

MARKS = {
    "waiting": ("·", "dim"),
    "working": ("●", "cyan"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "canceled": ("■", "yellow"),
    "skipped": ("-", "dim"),
}
_TAIL_LINES = 4
_ITEM_LINES = 8
_TAIL_CHARS = 400


class Renderer(ABC):
    """Shows a goal while its events come in. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.view = GoalView()

    def apply(self, event: LogEvent) -> None:
        self.view.apply(event)
        self.changed(event)

    def catch_up(self, event: LogEvent) -> None:
        """Take in an event of which was told before."""
        self.view.apply(event)

    @abstractmethod
    def changed(self, event: LogEvent) -> None: ...

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the terminal to others."""
        yield

    def say(self, text: str) -> None:
        """A line about what goes on around the goal, such as hosts that start."""
        self.console.print(Text(text, style="dim"), soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """The answer, the files and how it ended."""
        for renderable in conclusion(self.view):
            self.console.print(renderable)


class LiveRenderer(Renderer):
    """The tree, redrawn as it changes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = self._begun()

    def _begun(self) -> Live:
        # one that was stopped would paint over what came after it
        return Live(
            console=self.console, refresh_per_second=8, get_renderable=lambda: tree(self.view)
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._live.stop()
        try:
            yield
        finally:
            self._live = self._begun()
            self._live.start()

    def changed(self, event: LogEvent) -> None:
        """The tree is drawn by the clock, not by the event: a token costs nothing."""

    def finish(self) -> None:
        self._live.stop()
        super().finish()


class PlainRenderer(Renderer):
    """A line for each thing that happens, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._said: set[tuple[str, ...]] = set()
        self._quiet = False

    def catch_up(self, event: LogEvent) -> None:
        super().catch_up(event)
        self._quiet = True
        self.changed(event)
        self._quiet = False

    def changed(self, event: LogEvent) -> None:
        view = self.view
        if view.goal:
            self._once(("goal",), f"goal: {short(view.goal)}")
        if view.model:
            self._once(("model",), f"model: {view.model}")
        if view.steps:
            order = ", ".join(f"{step.id} ({step.agent})" for step in view.steps.values())
            self._once(("plan", order), f"plan: {order}")
        if view.paused:
            self._once(("paused", str(view.attempt)), "paused")
        if view.attempt > 1:
            self._once(("attempt", str(view.attempt)), f"goes on (attempt {view.attempt})")
        for step in view.steps.values():
            self._step(step)
            for item in step.items.values():
                self._step(item)

    def _step(self, step: StepView) -> None:
        if step.state != "waiting":
            why = f": {step.error}" if step.error else ""
            told = f"{step.id}: {step.state}{_took(step.started, step.ended)}{why}"
            self._once((step.id, step.state, str(step.attempt)), told)
        for key, call in step.work.calls.items():
            self._once((step.id, key), f"{step.id}:   {_call_line(call)}")
            if call.seconds is not None:
                self._once((step.id, key, "end"), f"{step.id}:   {call.name} {_call_end(call)}")

    def _once(self, key: tuple[str, ...], line: str) -> None:
        if key not in self._said:
            self._said.add(key)
            if not self._quiet:
                self.console.print(Text(clean(line)), soft_wrap=True)


class JsonRenderer(Renderer):
    """Each event as a line of JSON on stdout; all else goes to stderr."""

    def __init__(self) -> None:
        super().__init__(Console(stderr=True))

    def changed(self, event: LogEvent) -> None:
        print_event(event)

    def finish(self) -> None:
        """The last line is the task's end: nothing follows it."""


def renderer_for(*, as_json: bool) -> Renderer:
    """The renderer for what stdout is."""
    if as_json:
        return JsonRenderer()
    console = Console()
    return LiveRenderer(console) if console.is_terminal else PlainRenderer(console)


def tree(view: GoalView) -> Tree:
    """The goal, its steps, and what each does now."""
    root = Tree(Text.assemble(("goal  ", "bold"), short(view.goal or "...")))
    if view.model:
        root.add(Text(f"model  {view.model}", style="dim"))
    if not view.steps and view.end is None:
        root.add(Text("planning ...", style="cyan"))
    for step in view.steps.values():
        _step_branch(root, step, view.now)
    return root


def _step_branch(root: Tree, step: StepView, now: float) -> None:
    mark, style = MARKS.get(step.state, ("?", ""))
    ended = step.ended if step.ended is not None or step.started is None else now
    head = Text.assemble(
        (f"{mark} {step.id}", style),
        ("  after " + ", ".join(step.needs) if step.needs else "", "dim"),
        ("" if step.count is None else f"  {step.done} of {step.count} items", "dim"),
        (_took(step.started, ended), "dim"),
    )
    branch = root.add(head)
    for item in _telling(step):
        _item_line(branch, item, now)
    if step.state in ("waiting", "working"):
        branch.add(Text(short(step.what), style="dim"))
    for call in step.work.calls.values():
        leaf = branch.add(Text(_call_line(call) + "  " + _call_end(call)))
        if call.output and call.seconds is None:
            leaf.add(Text(_tail(call.output), style="dim"))
    if step.error:
        branch.add(Text(clean(step.error), style="red"))
    elif step.work.text:
        branch.add(Text(_tail(step.work.text), style="" if step.state == "working" else "dim"))


def _telling(step: StepView) -> list[StepView]:
    """The items of a map that are worth a line: those at work, and those that failed."""
    live = [item for item in step.items.values() if item.state in ("working", "failed")]
    return live[-_ITEM_LINES:]


def _item_line(branch: Tree, item: StepView, now: float) -> None:
    mark, style = MARKS.get(item.state, ("?", ""))
    calls = [call for call in item.work.calls.values() if call.seconds is None]
    said = item.error or (_call_line(calls[-1]) if calls else item.work.text)
    branch.add(
        Text.assemble(
            (f"{mark} {item.id}", style),
            (_took(item.started, item.ended or now), "dim"),
            ("  " + short(said) if said else "", "dim"),
        )
    )


def conclusion(view: GoalView) -> list[RenderableType]:
    """What stands at the end: the answer, the files, and the reason where it went wrong."""
    said: list[RenderableType] = []
    match view.end:
        case Completed():
            said.append(Panel(Text(clean(view.answer)), title="answer", title_align="left"))
        case Failed(message=message) | Rejected(message=message):
            said.append(Text(clean(f"failed: {message}"), style="red"))
        case Canceled():
            said.append(Text("canceled", style="yellow"))
        case InputRequest() as asked:
            said.append(Text(f"needs an answer: {question(asked)}", style="yellow"))
    said += [Text(clean(f"file: {file.name}  {_size(file.raw, file.text)}")) for file in view.files]
    if view.task_id:
        took = _took(view.started, view.now)
        said.append(Text(f"task {view.task_id}{took}", style="dim"))
    return [Group(*said)] if said else []


def _call_line(call: CallView) -> str:
    return f"{call.name}({short(_arguments(call.arguments), 100)})"


def _call_end(call: CallView) -> str:
    if call.seconds is None:
        return "..."
    return ("failed" if call.is_error else "ok") + f" {call.seconds:.1f} s"


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in arguments.items())


def _took(started: float | None, ended: float | None) -> str:
    return f"  {ended - started:.1f} s" if started is not None and ended is not None else ""


def _tail(text: str) -> str:
    return clean("\n".join(text[-_TAIL_CHARS:].splitlines()[-_TAIL_LINES:]))


def _size(raw: bytes | None, text: str | None) -> str:
    size = len(raw) if raw is not None else len(text.encode()) if text is not None else None
    return "" if size is None else escape(f"{size:,} bytes")
