"""Gives a step to its agent over A2A, and takes what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from codin.agent.a2a import EventDecoder, user_message
from codin.agent.events import (
    END_EVENTS,
    AgentEvent,
    ArtifactProduced,
    EndEvent,
    Failed,
    TextDelta,
    TextFinal,
)
from codin.agent.planning.plan import Step
from codin.security import ForbiddenError, Principal
from codin.task.log._json import digest
from codin.task.transport import in_memory_client
from codin.task.work import ParentTask, Run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from a2a.client import Client
    from a2a.server.request_handlers import RequestHandler
    from a2a.types import Message, StreamResponse

_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*)\n```", re.DOTALL)

Handlers = Callable[[Principal, str], "RequestHandler"]
"""Gives what answers for an agent, by its id. Raises ``NotFoundError`` when the principal may not
use it."""


@dataclass(slots=True)
class Attempt:
    """What came of giving a step to its agent once."""

    child_id: str = ""
    end: EndEvent = field(
        default_factory=lambda: Failed(
            error_type="NoEnd", message="its agent's stream broke off without an end"
        )
    )
    texts: dict[str, str] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        """The data that the agent made, or a list of it where it made more than one piece; else
        what its last message says, where that is a JSON object or list. ``None`` is none."""
        made = list(self.made.values())
        if made:
            return made[0] if len(made) == 1 else made
        return data_in(self.text)

    @property
    def text(self) -> str:
        """The last message of the agent."""
        return next(reversed(self.texts.values()), "")

    def apply(self, event: AgentEvent) -> None:
        match event:
            case TextDelta(message_id=key, text=text):
                self.texts[key] = self.texts.get(key, "") + text
            case TextFinal(message_id=key, text=text):
                self.texts.pop(key, None)
                self.texts[key] = text
            case ArtifactProduced(artifact_id=key, data=data) if data is not None:
                self.made[key] = data
            case _ if isinstance(event, END_EVENTS):
                self.end = event


def data_in(text: str) -> Any:
    """The JSON object or list that ``text`` is, perhaps in a fence of Markdown; ``None`` when it is
    none."""
    text = text.strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1].strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


async def unheard(event: AgentEvent) -> None:
    """Take no notice of an event."""


class Dispatcher:
    """Dispatches the steps of one goal's run. The children's events go into the goal's log.

    ``history`` is what was said before, where a step takes the run's conversation over.
    """

    def __init__(self, run: Run, handlers: Handlers, history: Sequence[Message] = ()) -> None:
        self._run = run
        self._handlers = handlers
        self._parent = ParentTask(run.task_id, run.goal_id, tuple(history), run.lane, run.urgency)

    async def send(
        self,
        step: Step,
        message: Message,
        begun: Callable[[str], Awaitable[None]],
        said: Callable[[AgentEvent], Awaitable[None]] = unheard,
    ) -> Attempt:
        """Send ``message`` to the step's agent and follow its task to the end. ``begun`` is told
        the task's id, ``said`` what the agent says. Cancelling it cancels the task, and waits for
        that.

        Raises:
            NotFoundError: there is no such agent for the run's principal.
            A2AError: the agent does not take the message.
        """
        from a2a.types import SendMessageRequest

        client = self._client(step)
        attempt, decoder = Attempt(), EventDecoder()
        stream = client.send_message(SendMessageRequest(message=message))
        try:
            async with aclosing(cast("AsyncGenerator[StreamResponse, None]", stream)) as responses:
                async for response in responses:
                    await self._take(step, response, attempt, begun)
                    for event in decoder.decode(response):
                        attempt.apply(event)
                        await said(event)
        except BaseException as error:
            self._run.broken_by(error)
            if attempt.child_id and not self._run.lost:
                await self.stop(step, attempt.child_id)
            raise
        return attempt

    async def look(
        self,
        step: Step,
        child_id: str,
        said: Callable[[AgentEvent], Awaitable[None]] = unheard,
    ) -> Attempt:
        """What a step's task has come to, as it stands. ``said`` is told what its agent has said so
        far.

        Raises:
            A2AError: there is no such task.
        """
        from a2a.types import GetTaskRequest, StreamResponse

        task = await self._client(step).get_task(GetTaskRequest(id=child_id))
        attempt = Attempt(child_id)
        for event in EventDecoder().decode(StreamResponse(task=task)):
            attempt.apply(event)
            await said(event)
        return attempt

    async def stop(self, step: Step, child_id: str) -> None:
        """Cancel a step's task, and take in what it says to that."""
        from a2a.types import CancelTaskRequest
        from a2a.utils.errors import A2AError

        # it has ended meanwhile, or its principal may cancel nothing: then it ends with its goal
        with suppress(A2AError, ForbiddenError):
            await self._client(step).cancel_task(CancelTaskRequest(id=child_id))
        await self._run.adopt(child_id, step=step.id, agent=step.agent)

    async def _take(
        self,
        step: Step,
        response: StreamResponse,
        attempt: Attempt,
        begun: Callable[[str], Awaitable[None]],
    ) -> None:
        if response.HasField("task") and not attempt.child_id:
            attempt.child_id = response.task.id
            await begun(attempt.child_id)
        if attempt.child_id:
            await self._run.adopt(attempt.child_id, step=step.id, agent=step.agent)

    def _client(self, step: Step) -> Client:
        handler = self._handlers(self._run.principal, step.agent)
        return in_memory_client(handler, self._run.principal, self._parent)


def answer_to(child_id: str, answer: Message) -> Message:
    """The answer to what a task below asks: the same message whenever it is sent."""
    message = user_message(parts=list(answer.parts), task_id=child_id)
    message.message_id = digest(answer.message_id, child_id)[:32]
    return message
