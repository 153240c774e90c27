"""Which of its agent's tools a task may use, where the step whose task it is says so.

It stands in the message with which the task began, so that it holds for every run of it, in
whatever process. It only ever takes tools away: whoever sends such a message gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from codin.agent.a2a import MARK
from codin.task.log.base import EventLog
from codin.task.work import Run
from codin.tool.agent import granted

_TOOLS = "tools"


def told_tools(tools: Iterable[str]) -> dict[str, Any]:
    """The metadata of a message whose task may use no other tools than these."""
    return {MARK: {_TOOLS: list(tools)}}


class StepTools:
    """Reads it from the log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def only(self, run: Run) -> frozenset[str] | None:
        """The tools that the run may use of those of its agent; ``None`` when it may all.

        Raises:
            LogError: the log cannot be read.
        """
        if run.beginning.turn == 1:
            return _named(MessageToDict(run.message.metadata))
        first = await self._log.read(run.principal, run.task_id, 0, 1)
        return _named(first[0].body["history"][0].get("metadata", {}))


def _named(metadata: Mapping[str, Any]) -> frozenset[str] | None:
    mark = metadata.get(MARK)
    tools = mark.get(_TOOLS) if isinstance(mark, Mapping) else None
    return granted(map(str, tools)) if isinstance(tools, list) else None
