"""What a task is done by, and what it is done with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from codin.agent.base import Agent, AgentInfo, ModelAccess
from codin.agent.base import Task as AgentTask
from codin.agent.events import (
    END_EVENTS,
    AgentEvent,
    ArtifactProduced,
    Completed,
    EndEvent,
    InputRequest,
    TextDelta,
    TextFinal,
)
from codin.security import RunGrant, RunGrants
from codin.steady_clock import steady_time
from codin.task._entries import told
from codin.task._paused import Kept
from codin.task._run_calls import Reply, RunCalls
from codin.task.beginning import Beginning
from codin.task.errors import is_away
from codin.task.journal import Journal
from codin.task.log.entries import Adopt, Entry
from codin.task.log.rows import Lane, StepRow
from codin.task.urgency import NOT_URGENT, Urgency
from codin.tool.agent import granted
from codin.tool.base import RunEnded, Tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from a2a.types import Message

DEFAULT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ParentTask:
    """The task that a step belongs to. ``goal_id`` is the one at the root. ``history`` is what was
    said before, where the step takes a conversation over. ``lane`` and ``urgency`` are its own."""

    task_id: str
    goal_id: str
    history: tuple[Message, ...] = ()
    lane: Lane = "goal"
    urgency: Urgency = NOT_URGENT


class Run:
    """One run of a task: what it is about, and where what happens in it is said.

    ``history`` has the messages of the conversation before ``message``, oldest first; ``state`` is
    what the agent gave with the request that ``message`` answers. ``beginning`` says how it was
    begun; ``reply`` is the answer to what a call of an earlier attempt asked. ``calls`` are its
    tool calls, where one of them can ask. ``begun`` counts the tasks that agents have begun below a
    run at the root. A run that is ``lost`` goes on elsewhere: it is ended here, and nothing of that
    is to be seen.
    """

    def __init__(
        self,
        *,
        task_id: str,
        context_id: str,
        goal_id: str,
        message: Message,
        history: Sequence[Message],
        beginning: Beginning,
        journal: Journal,
        state: str | None = None,
        reply: Reply | None = None,
        lane: Lane = "agent",
        urgency: Urgency | None = None,
    ) -> None:
        self.task_id = task_id
        self.context_id = context_id
        self.goal_id = goal_id
        self.principal = beginning.principal
        self.message = message
        self.history = tuple(history)
        self.beginning = beginning
        self.state = state
        self.reply = reply
        self.lane = lane
        self.urgency = urgency or NOT_URGENT
        self.lost = False
        self.calls: RunCalls | None = None
        self.begun = 0
        self.journal = journal
        self._texts: dict[str, list[str]] = {}

    @property
    def text(self) -> str:
        """The last message that was said in it."""
        return "".join(next(reversed(self._texts.values()), ()))

    async def emit(self, event: AgentEvent) -> None:
        """Say what an agent said. Waits while the log is behind."""
        match event:
            case TextDelta(message_id=key, text=text):
                self._texts.setdefault(key, []).append(text)
            case TextFinal(message_id=key, text=text):
                self._texts.pop(key, None)
                self._texts[key] = [text]
        await self.journal.put(event)

    async def say(self, payload: Mapping[str, Any], *, steps: Sequence[StepRow] = ()) -> None:
        """Say a piece of data as a working status, and write ``steps`` with it."""
        await self.journal.put(told(self, payload), steps)

    async def adopt(self, child_id: str, *, step: str, agent: str) -> None:
        """Take in what is new in a child task's log."""
        await self.journal.put(Adopt(child_id, step, agent))

    async def record(self, call: Mapping[str, Any]) -> None:
        """Write a record of a tool call, and return once it is committed.

        Raises:
            RunEnded: the log does not take it (any more).
        """
        if not (await self.journal.put(Entry("call", dict(call))) and await self.journal.flushed()):
            raise RunEnded(f"the run of task {self.task_id} is over: its calls are not recorded")

    def broken_by(self, error: BaseException) -> bool:
        """Whether ``error`` is that the log cannot be used. Then it is no end of the run: nothing
        more of it is told, what it began is left alone, and it is made again when the log can be
        used."""
        if not (isinstance(error, Exception) and is_away(error)):
            return False
        self.lost = True
        self.journal.fail(error)
        return True

    def recall(self, texts: Mapping[str, str]) -> None:
        """These messages were said in it before, by id."""
        self._texts = {**{key: [text] for key, text in texts.items()}, **self._texts}

    async def answered(self, answer: Mapping[str, Any]) -> None:
        """Write down what a model answered, or what that used."""
        await self.journal.put(Entry("model", dict(answer)))

    async def keep(self, kept: Kept) -> None:
        """Keep what is needed to go on when the run's question is answered.

        Raises:
            StateTooLarge: it is more than is kept.
        """
        await self.journal.put(Entry("state", kept.checked()))

    async def flushed(self) -> None:
        """Return when all that was said before is committed."""
        await self.journal.flushed()


class Work(Protocol):
    """Whatever does a task: an agent, or the orchestrator's planning and dispatching.

    ``seconds`` bounds a run; ``None`` does not. ``lane`` says what a run takes room for.
    """

    @property
    def id(self) -> str: ...

    @property
    def seconds(self) -> float | None: ...

    @property
    def lane(self) -> Lane: ...

    async def perform(self, run: Run) -> EndEvent:
        """Do the work of ``run`` and give the event that ends it. What it raises fails the task.
        Cancelling it leaves nothing running."""
        ...


def no_tools(grant: RunGrant) -> Sequence[Tool]:
    """Give no tool to any run."""
    return ()


async def no_matter(grant: RunGrant) -> None:
    """Do nothing at the end of a run."""


def no_model(token: str) -> ModelAccess | None:
    """Give no model to any run."""
    return None


async def all_tools(run: Run) -> frozenset[str] | None:
    """Leave a run all the tools that its agent has."""
    return None


@dataclass(frozen=True, slots=True)
class RunServices:
    """What the platform gives to an agent's run: its grant, the tools and the model behind it.
    ``ended`` is awaited when what the run was given has been taken back. ``only`` names the tools
    that a run may use of those of its agent, if not all."""

    grants: RunGrants
    tools_for: Callable[[RunGrant], Sequence[Tool]] = no_tools
    model_for: Callable[[str], ModelAccess | None] = no_model
    seconds: float = DEFAULT_SECONDS
    max_model_tokens: int | None = None
    ended: Callable[[RunGrant], Awaitable[None]] = no_matter
    only: Callable[[Run], Awaitable[frozenset[str] | None]] = all_tools


class AgentWork:
    """A task done by an agent."""

    def __init__(self, agent: Agent, info: AgentInfo, services: RunServices) -> None:
        self._agent = agent
        self._info = info
        self._services = services

    @property
    def id(self) -> str:
        return self._info.id

    @property
    def seconds(self) -> float:
        return self._services.seconds

    @property
    def lane(self) -> Lane:
        return "agent"

    async def perform(self, run: Run) -> EndEvent:
        grant = self._grant(run, await self._services.only(run))
        token = self._services.grants.issue(grant)
        try:
            return await self._handle(run, grant, token)
        finally:
            self._services.grants.revoke(token)
            await self._services.ended(grant)

    async def hear(self, run: Run, event: AgentEvent) -> None:
        """Take what the agent said: it is said in ``run``."""
        await self.say(run, event)

    async def say(self, run: Run, event: AgentEvent) -> None:
        """Say in ``run`` what the agent said."""
        await run.emit(_in_task(event, run.task_id))

    async def _handle(self, run: Run, grant: RunGrant, token: str) -> EndEvent:
        task = AgentTask(
            id=run.task_id,
            context_id=run.context_id,
            message=run.message,
            principal=run.principal,
            history=run.history,
            state=run.state,
            tools=tuple(self._services.tools_for(grant)),
            model=self._services.model_for(token),
            token=token,
        )
        response = await self._agent.handle(task)
        events = cast("AsyncGenerator[AgentEvent, None]", aiter(response))
        async with aclosing(events):
            async for event in events:
                if isinstance(event, InputRequest) and event.state is not None:
                    await run.keep(Kept(event.state))
                    return event.model_copy(update={"state": None})
                if isinstance(event, END_EVENTS):
                    return event
                await self.hear(run, event)
        return Completed()

    def _grant(self, run: Run, only: frozenset[str] | None) -> RunGrant:
        return RunGrant(
            task_id=run.task_id,
            goal_id=run.goal_id,
            context_id=run.context_id,
            agent_id=self._info.id,
            principal=run.principal,
            tools=granted(self._info.tools, self._info.hands_off_to),
            expires_at=steady_time() + self._services.seconds + 60.0,
            max_model_tokens=self._services.max_model_tokens,
            turn=run.beginning.turn,
            only=only,
        )


def _in_task(event: AgentEvent, task_id: str) -> AgentEvent:
    """An agent's artifact under an id that no text of the task can have."""
    if isinstance(event, ArtifactProduced) and event.artifact_id.startswith("text-"):
        return event.model_copy(update={"artifact_id": f"{task_id}-{event.artifact_id}"})
    return event
