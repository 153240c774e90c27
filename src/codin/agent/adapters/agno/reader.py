"""What Agno streams of a run, told to it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from codin.agent.adapters._failure import TooManySteps
from codin.agent.adapters._message import result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters.agno.files import Files
from codin.agent.events import Canceled, Failed

_ENDED = frozenset({"RunError", "RunCancelled", "WorkflowError", "WorkflowCancelled"})
_COMPLETED = frozenset({"RunCompleted", "WorkflowCompleted"})
_BEGUN = frozenset({"RunStarted", "RunContinued"})
_TOOL = frozenset({"ToolCallStarted", "ToolCallCompleted", "ToolCallError"})
_CONTENT = frozenset({"RunContent", "RunIntermediateContent", "ReasoningContentDelta"})


@dataclass(slots=True)
class _Message:
    """The message that one run inside the run is saying."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    text: str = ""


class Reader:
    """Takes the events of an agent, a team or a workflow, those of all that runs inside too.

    Agno's errors are events. What ends the run other than well is ``end``, and said by no one yet;
    those of a member or a step are its caller's to deal with. A run that was neither completed nor
    ended has paused.
    """

    def __init__(self, run: Run, run_id: str, max_model_calls: int) -> None:
        self.completed = False
        self.end: Failed | Canceled | None = None
        self._run = run
        self._run_id = run_id
        self._left = max_model_calls
        self._messages: dict[str, _Message] = {}
        self._names: dict[str, str] = {}
        self._lent: dict[str, str] = {}
        self._speaker = ""
        self._cause: Failed | None = None
        self._files = Files(run)

    async def read(self, event: Any) -> None:
        # A team's events are an agent's with "Team" before their names.
        name = str(getattr(event, "event", "")).removeprefix("Team")
        if name in _ENDED:
            self._ended(event)
        elif name in _CONTENT:
            await self._content(event, name)
        elif name in _TOOL:
            await self._tool(event, name)
        elif name in _BEGUN:
            await self._begins(event, anew=name == "RunStarted")
        elif name == "ModelRequestStarted":
            await self._request(event)
        elif name == "ModelRequestCompleted":
            await self._message_ends(event)
            await self._run.usage(event.model or "", event.input_tokens, event.output_tokens)
        elif name in _COMPLETED:
            await self._completed(event)

    async def _begins(self, event: Any, *, anew: bool) -> None:
        """A run inside: its caller's, as a team's member, or the next one's, as a step."""
        name = getattr(event, "agent_name", "") or getattr(event, "team_name", "")
        name = name or getattr(event, "agent_id", "") or getattr(event, "team_id", "") or ""
        self._names[event.run_id] = name
        caller = event.parent_run_id
        if caller is not None:
            self._lent[caller] = name
        if anew:
            await self._passes(self._names.get(caller or "", self._speaker), name)
        self._speaker = name

    async def _passes(self, giver: str, taker: str) -> None:
        if giver and taker and giver != taker:
            await self._run.hand_off(giver, taker)

    async def _request(self, event: Any) -> None:
        if self._left <= 0:
            raise TooManySteps
        self._left -= 1
        self._messages[event.run_id] = _Message()
        if (member := self._lent.pop(event.run_id, None)) is not None:
            # The members have done what they were asked for: their caller goes on.
            self._speaker = self._names.get(event.run_id, "")
            await self._passes(member, self._speaker)

    async def _content(self, event: Any, name: str) -> None:
        await self._run.thought(getattr(event, "reasoning_content", None) or "")
        if not isinstance(event.content, str) or not event.content:
            return
        if name == "RunIntermediateContent":
            # What goes to the model that writes the answer.
            await self._run.thought(event.content)
        elif name == "RunContent":
            message = self._messages.setdefault(event.run_id, _Message())
            message.text += event.content
            await self._run.delta(message.id, event.content)

    async def _message_ends(self, event: Any) -> None:
        if message := self._messages.get(event.run_id):
            await self._run.final(message.id, message.text)

    async def _tool(self, event: Any, kind: str) -> None:
        tool = event.tool
        call_id, name = tool.tool_call_id or tool.tool_name or "", tool.tool_name or ""
        await self._run.call(call_id, name, tool.tool_args or {})
        if kind == "ToolCallStarted":
            return
        failed = kind == "ToolCallError" or bool(tool.tool_call_error)
        told = tool.result if tool.result is not None else getattr(event, "error", None)
        await self._run.result(call_id, name, told, is_error=failed)
        await self._files.tell(event)

    async def _completed(self, event: Any) -> None:
        await self._files.tell(event)
        if event.run_id != self._run_id:
            return
        self.completed = True
        content = event.content
        if content is not None and not isinstance(content, str):
            await self._files.tell_data(content)
            content = result_text(content)
        # All that an agent said in several messages is one text here: its end was the last of them.
        said = self._run.last_text.strip()
        if content and not (said and content.strip().endswith(said)):
            await self._run.final(uuid.uuid4().hex, content)

    def _ended(self, event: Any) -> None:
        if event.event == "WorkflowCancelled":
            self.end = Canceled(message=event.reason or "the workflow was cancelled")
        elif event.run_id == self._run_id:
            failed = _failed(event)
            # A workflow says of a step's error only that there was one.
            self.end = self._cause or failed if event.event == "WorkflowError" else failed
        else:
            self._cause = _failed(event)


def _failed(event: Any) -> Failed:
    if event.event.endswith("RunCancelled"):
        return Failed(error_type="Cancelled", message=event.reason or "Agno cancelled the run")
    message = getattr(event, "error", None) or event.content or "Agno gave no reason"
    if event.error_type == "model_provider_error":
        return Failed(error_type="ModelError", message=f"the agent's model failed: {message}")
    return Failed(error_type=event.error_type or "AgentFailed", message=str(message))
