"""What the suite of agents is told about an agent, and how it runs one."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from codin.agent.a2a import agent_message, text_part, user_message
from codin.agent.base import Agent, Task
from codin.agent.events import END_EVENTS, AgentEvent, InputRequest
from codin.agent.response import AgentResponse
from codin.testing.scripted_model import Script, ScriptedModel

SECONDS = 20.0
"""No behaviour here may take longer."""

BEHAVIOURS = (
    "text",
    "thoughts",
    "tools",
    "hand-offs",
    "usage",
    "errors",
    "cancelling",
    "model's stream closed",
    "conversation",
    "input",
    "approval",
    "restart",
    "data",
    "files in",
    "files out",
)
"""What an agent of any framework does, in the order in which it is shown."""

E = TypeVar("E")
Test = Callable[[Any], Awaitable[None]]


@dataclass
class Scene:
    """An agent that does something special, and what its model says. ``make`` builds it, asking the
    model at the URL that it is given; ``effects`` is where its tools leave what they did."""

    script: Script
    make: Callable[[str], Agent | Awaitable[Agent]]
    effects: list[Any] = field(default_factory=list)

    async def agent(self, base_url: str) -> Agent:
        made = self.make(base_url)
        return await made if inspect.isawaitable(made) else made


def behaviour(*names: str) -> Callable[[Test], Test]:
    """Says of which behaviour a test is: the first of ``names``; it needs the others too."""
    assert set(names) <= set(BEHAVIOURS), names

    def mark(test: Test) -> Test:
        test.behaviours = names  # type: ignore[attr-defined]
        return test

    return mark


def bare_test(name: str) -> str:
    """The name of the test which shows that a framework alone lacks the behaviour ``name``."""
    plain = name.replace("'", "").replace("-", "_").replace(" ", "_")
    return f"test_bare_{plain}"


class AgentSuite(ABC):
    """What the parts of the suite have in common. The attributes say what an agent cannot do for
    reasons that are not its own."""

    title: ClassVar[str] = ""
    """The row of the table that it is, by default its name without "Test"."""
    cannot: ClassVar[Mapping[str, str]] = {}
    """Behaviours that its framework lacks, and why. ``test_bare_...`` of the subclass shows the
    framework alone failing at each; the suite's own tests of it are left out."""
    in_host: ClassVar[Mapping[str, str]] = {}
    """Behaviours that it has in a host only, and why; they are tested there."""
    owes: ClassVar[frozenset[str]] = frozenset()
    """Behaviours that are not built yet."""

    bounds_itself = True
    """False for one whose loop is user code."""
    takes_history = True
    """False for one whose memory of the conversation is on the other side."""
    max_model_calls = 4
    """How many model requests the agent of ``make_bounded`` may make."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        left_out = {*cls.cannot, *cls.in_host, *cls.owes}
        if wrong := left_out.difference(BEHAVIOURS):
            raise TypeError(f"{cls.__name__}: no behaviour is called {sorted(wrong)}")
        if unshown := [name for name in cls.cannot if not hasattr(cls, bare_test(name))]:
            shown = ", ".join(map(bare_test, unshown))
            raise TypeError(f"{cls.__name__} has to show what its framework lacks: {shown}")
        for name in dir(cls):
            if left_out.intersection(getattr(getattr(cls, name, None), "behaviours", ())):
                setattr(cls, name, None)  # which is not collected

    @abstractmethod
    async def make(self, base_url: str) -> Agent:
        """The agent, asking the model at ``base_url``."""

    async def make_bounded(self, base_url: str) -> Agent:
        """The same, with at most ``max_model_calls`` requests a run."""
        agent = await self.make(base_url)
        agent.max_model_calls = self.max_model_calls  # type: ignore[attr-defined]
        return agent

    @contextlib.asynccontextmanager
    async def _run(
        self, script: Script, task: Task
    ) -> AsyncIterator[tuple[list[AgentEvent], ScriptedModel]]:
        model = ScriptedModel(script)
        async with model.serve() as url:
            yield await collect(await self.make(url), task), model

    def _consume(self, agent: Agent, task: Task) -> tuple[asyncio.Task[None], list[AgentEvent]]:
        seen: list[AgentEvent] = []

        async def consume() -> None:
            async for event in await agent.handle(task):
                seen.append(event)  # noqa: PERF401 - others look at it meanwhile

        return asyncio.create_task(consume()), seen


async def collect(agent: Agent, task: Task) -> list[AgentEvent]:
    """All events of a run."""
    async with asyncio.timeout(SECONDS):
        response = await agent.handle(task)
        assert isinstance(response, AgentResponse)
        return [event async for event in response]


def of(events: Sequence[AgentEvent], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def asked(events: Sequence[AgentEvent]) -> InputRequest:
    """The request that ended a run."""
    (end,) = [event for event in events if isinstance(event, END_EVENTS)]
    assert end is events[-1]
    assert isinstance(end, InputRequest), end
    return end


def answering(task: Task, request: InputRequest, said: str) -> Task:
    """The task again, with the answer to ``request``: as the platform hands it to the agent."""
    prompt = [text_part(request.prompt)]
    question = agent_message(prompt, context_id=task.context_id, task_id=task.id)
    return replace(
        task,
        message=user_message(said, context_id=task.context_id, task_id=task.id),
        history=(*task.history, task.message, question),
        state=request.state,
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - the sides share nothing to wait on
            await asyncio.sleep(0.01)


async def cancel(running: asyncio.Task[None]) -> None:
    running.cancel()
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert running.cancelled()
