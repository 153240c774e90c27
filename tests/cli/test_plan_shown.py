"""How a plan with a map looks on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from codin.agent.a2a import EventEncoder, agent_message, data_part, status_update
from codin.agent.events import TextDelta
from codin.cli.render import PlainRenderer, tree
from codin.cli.view import GoalView
from codin.task import LogEvent
from codin.task.projection import to_json


class Told:
    """Events of a goal, in order."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def say(self, **payload: Any) -> None:
        from a2a.types import TaskState

        message = agent_message([data_part(payload)], context_id="c", task_id="t")
        update = status_update("t", "c", TaskState.TASK_STATE_WORKING, message)
        self._add("status", to_json(update.status_update))

    def child(self, step: str, text: str) -> None:
        kind, body = EventEncoder("k", "c").encode_json(TextDelta(message_id="m", text=text))
        self._add("child", {"step": step, "agent": "w", "task_id": "k", "kind": kind, "body": body})

    def _add(self, kind: Any, body: dict[str, Any]) -> None:
        seq = len(self.events) + 1
        self.events.append(LogEvent("t", seq, kind, 100.0 + seq, body))


def goal() -> Told:
    told = Told()
    steps = [
        {"id": "read", "agent": "w", "instruction": "Read one.", "needs": ["find"]},
        {"id": "report", "agent": "w", "instruction": "Report.", "needs": ["read"]},
    ]
    told.say(type="plan", plan={"goal": "g", "reason": "", "steps": steps})
    told.say(type="map", id="read", items=3)
    told.say(type="step", id="read", agent="w", state="working", attempt=1)
    for place, state in enumerate(("completed", "working", "failed"), 1):
        item = {"type": "step", "id": f"read.{place}", "of": "read", "place": place, "agent": "w"}
        told.say(**item, state="working")
        if state != "working":
            told.say(**item, state=state)
    told.child("read.2", "halfway")
    told.say(type="step", id="read.judge", agent="j", state="working")
    return told


def test_items_stand_below_their_step_in_short() -> None:
    view = GoalView()
    for event in goal().events:
        view.apply(event)
    console = Console(width=100, record=True, force_terminal=False)
    console.print(tree(view))
    shown = console.export_text()
    assert "read  after find  1 of 3 items" in shown
    assert "read.2" in shown
    assert "halfway" in shown
    assert "✗ read.3" in shown
    assert "read.1" not in shown, "what is done is counted, and needs no line"
    assert "read.judge" not in shown


def test_items_are_lines_where_there_is_no_terminal() -> None:
    console = Console(width=100, record=True, force_terminal=False)
    renderer = PlainRenderer(console)
    for event in goal().events:
        renderer.apply(event)
    shown = console.export_text()
    assert "read.1: completed" in shown
    assert "read.3: failed" in shown
