"""What all adapters have in common.

One rule for conversations: the platform's log is the memory. Every run is handed the messages
before it (``Task.history``); a framework's own session is made for the run and dropped with it.
What a run that asks needs to go on is in its ``InputRequest.state``, which the platform keeps.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from codin.agent.adapters._failure import explain
from codin.agent.adapters._run import Run
from codin.agent.base import INPUT_MODES, AgentError, AgentInfo, Task
from codin.agent.events import AgentEvent, Failed
from codin.agent.response import AgentResponse
from codin.tool.base import Tool

logger = logging.getLogger(__name__)

MAX_MODEL_CALLS = 25
"""Model requests that one run may make, unless the adapter is told otherwise."""

_STOP_SECONDS = 10.0
_BUFFER = 64
_SKILL_CHARS = 300


@dataclass(frozen=True, slots=True)
class Traits:
    """What a framework knows of an agent: a description, what it can do, each in a sentence, and
    other agents that it is made of, which are none of their own therefore."""

    description: str = ""
    skills: tuple[str, ...] = ()
    parts: tuple[Any, ...] = ()


def skill(name: str, description: str | None) -> str:
    """One thing that an agent can do, such as a tool, by its name and what is said of it first."""
    said = inspect.cleandoc(description or "").partition("\n\n")[0].replace("\n", " ")
    return f"{name}: {said[:_SKILL_CHARS]}" if said else name


def beginning(instruction: Any) -> str:
    """The first sentence of an instruction, as far as it is a text."""
    text = instruction if isinstance(instruction, str) else ""
    first = text.strip().partition("\n")[0]
    return (first.partition(". ")[0].rstrip(".") + "." if first else "")[:200]


class Adapter(ABC):
    """An agent of some framework as an ``Agent``.

    The framework's work is done in a task of its own: whatever it does with cancel scopes or
    context variables stays there, and closing the response cancels it and waits for it.
    ``anonymous`` says that its id was made up, as nothing had a name.
    """

    framework: ClassVar[str]
    input_modes: ClassVar[tuple[str, ...]] = INPUT_MODES
    """Media types of what it can be given; an adapter whose framework reads more says so."""

    def __init__(
        self,
        subject: Any,
        info: AgentInfo,
        *,
        tools: Sequence[Tool] = (),
        max_model_calls: int = MAX_MODEL_CALLS,
        anonymous: bool = False,
    ) -> None:
        self.subject = subject
        self.anonymous = anonymous
        self.tools = list(tools)
        self.max_model_calls = max_model_calls
        self._set_info(info)

    @property
    def info(self) -> AgentInfo:
        """What the platform shows of this agent."""
        return self._info

    def rename(self, agent_id: str, name: str) -> None:
        """Take another id and name: those that it was given where it was found."""
        self.anonymous = False
        self._set_info(replace(self._info, id=agent_id, name=name))

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self._events(task))

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """What ``subject`` tells of itself, without being run."""
        return Traits()

    @abstractmethod
    async def _run(self, task: Task, run: Run) -> None:
        """Do the task and tell ``run`` what happens. What is raised ends the run as failed."""

    def _explain(self, error: Exception) -> Failed:
        return explain(error)

    def _set_info(self, info: AgentInfo) -> None:
        self._info = info
        self.id, self.name, self.description = info.id, info.name, info.description

    async def _events(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        said: asyncio.Queue[AgentEvent | None] = asyncio.Queue(_BUFFER)
        run = Run(said.put)
        worker = asyncio.create_task(self._work(task, run, said), name=f"agent {self.id}")
        # wakes who waits for an event; who has events to take sees that there are no more
        worker.add_done_callback(lambda _: None if said.full() else said.put_nowait(None))
        try:
            while not (worker.done() and said.empty()):
                event = await said.get()
                if event is not None:
                    yield event
            if worker.cancelled():
                yield Failed(error_type="Cancelled", message=f"{self.id} cancelled its own run")
        finally:
            run.stopped = True
            await _stop(worker)

    async def _work(self, task: Task, run: Run, said: asyncio.Queue[AgentEvent | None]) -> None:
        try:
            await self._run(task, run)
            await run.finish()
        except Exception as error:
            logger.debug("agent %s failed", self.id, exc_info=True)
            await said.put(self._explain(error))


def is_factory(subject: Any) -> bool:
    """Whether ``subject`` builds an agent for a run instead of being one."""
    return inspect.isroutine(subject) or type(subject).__name__ == "partial"


async def build(factory: Callable[..., Any], task: Task, tools: Sequence[Any]) -> Any:
    """Call ``factory()``, ``factory(tools)`` or ``factory(tools, model)``; it may be async.

    Raises:
        AgentError: it takes something else.
    """
    given = {"tools": list(tools), "model": task.model}
    parameters = [p for p in inspect.signature(factory).parameters.values() if p.default is p.empty]
    names = [p.name for p in inspect.signature(factory).parameters.values() if p.name in given]
    if any(p.name not in given for p in parameters) and len(parameters) > 2:
        raise AgentError(
            f"{getattr(factory, '__name__', factory)!r} cannot build an agent: "
            "it has to take (), (tools) or (tools, model)"
        )
    unknown = [p for p in parameters if p.name not in given]
    if unknown:
        result = factory(*list(given.values())[: len(parameters)])
    else:
        result = factory(**{name: given[name] for name in names})
    return await result if inspect.isawaitable(result) else result


async def _stop(worker: asyncio.Task[None]) -> None:
    if worker.done():
        return
    worker.cancel()
    _, pending = await asyncio.wait({worker}, timeout=_STOP_SECONDS)
    if pending:
        logger.error("%s did not stop within %s s", worker.get_name(), _STOP_SECONDS)
