"""CrewAI's agents, crews and flows as agents, and factories of them.

CrewAI does its work in threads that nothing can stop. A run that is cancelled ends with the next
thing that CrewAI tells of it; one that waits for its model ends with its host, which the platform
ends then. That is why an agent of CrewAI belongs in a host.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from a2a.types import Message
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._message import attachments, data_of, past, prompt
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, Traits, build, is_factory, skill
from codin.agent.adapters.crewai.asking import (
    Asker,
    Question,
    Stopped,
    current_asker,
    listen,
    provider,
)
from codin.agent.adapters.crewai.copy import agent_with, crew_with, fresh
from codin.agent.adapters.crewai.reader import Reader, bridge
from codin.agent.adapters.crewai.record import Record, current_record, watch
from codin.agent.answers import answer
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import Failed, InputRequest

Kickoff = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a run is told: the message that began it, the conversation before that, and what was
    given in it so far."""

    message: Message
    past: Sequence[tuple[str, str]]
    record: Record

    @property
    def before(self) -> list[dict[str, str]]:
        return [{"role": role, "content": text} for role, text in self.past]

    @property
    def images(self) -> list[str]:
        return [file.data_url for file in attachments(self.message, reads=["image"])]

    def state(self, question: Question) -> str:
        kept = {
            "message": MessageToDict(self.message),
            "past": list(self.past),
            "record": self.record.dump(),
            "asked": question.key,
        }
        return json.dumps(kept, ensure_ascii=False)


class CrewAiAgent(Adapter):
    """An ``Agent``, a ``Crew`` or a ``Flow``, or a function ``([tools[, model]])`` that builds one.

    For each run it is copied; an agent or a crew is given the run's tools besides its own. An agent
    is told the conversation; so is each agent of a crew or a flow, before its task. A crew gets the
    message as its inputs: a data part as it is, or the text for each of its placeholders; one that
    has no placeholders finds the text in front of its first task. A flow gets the data part, or the
    text as ``message``, and the conversation as ``history`` where its state has a place for it.

    Where CrewAI would ask at the terminal (``human_input`` of a task, ``request_human_input`` of a
    hook, ``@human_feedback`` and ``ask`` of a flow), the run ends with the question. The answer
    makes it anew, in whatever process, with what its models and tools have given already.
    """

    framework: ClassVar[str] = "crewai"
    input_modes: ClassVar[tuple[str, ...]] = (*INPUT_MODES, "image/*")

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """An agent's goal and tools; a crew's tasks, and the agents that it is made of."""
        if is_factory(subject):
            return Traits()
        tools = getattr(subject, "tools", None)
        told = [skill(t.name, t.description) for t in (tools if isinstance(tools, list) else [])]
        members = [
            *(getattr(subject, "agents", None) or ()),
            getattr(subject, "manager_agent", None),
        ]
        agents = [agent for agent in members if hasattr(agent, "role")]
        told += [skill(agent.role, agent.goal) for agent in agents]
        tasks = [task.name or task.description for task in getattr(subject, "tasks", None) or ()]
        words = " Then: ".join(" ".join(str(task).split())[:120] for task in tasks)
        role, goal = getattr(subject, "role", ""), getattr(subject, "goal", "")
        return Traits(f"{role}: {goal}" if role else words, tuple(told), tuple(agents))

    async def _run(self, task: Task, run: Run) -> None:
        begun = _begun(task)
        asker = Asker(begun.record)
        bridged = {tool.name for tool in task.tools}
        reader = Reader(run, begun.record, self.max_model_calls, bridged)
        tools = [bridge(tool, reader) for tool in task.tools]
        subject = self.subject
        if is_factory(subject):
            # It has given them the tools itself.
            subject, tools = await build(subject, task, tools), []
        kickoff = self._kickoff(subject, begun, tools)
        # An agent alone is told the conversation as its messages.
        before = () if hasattr(subject, "role") else begun.before
        human = provider(asker, before, begun.images)
        told = asyncio.to_thread(_told_to, reader.sink, asker, begun.record, human, kickoff)
        output = await _done(reader, told)
        if type(output).__name__ == "HumanFeedbackPending":
            raise AgentError(
                f"the flow of agent {self.id!r} waits for feedback in a way of its own, which "
                "nobody here can give: leave the provider of its human_feedback out"
            )
        if asker.question is not None:
            await run.emit(_request(asker.question, begun))
        else:
            await reader.last(output)

    def _kickoff(self, subject: Any, begun: _Begun, tools: Sequence[Any]) -> Kickoff:
        kinds = {cls.__name__ for cls in type(subject).__mro__}
        if "Flow" in kinds:
            if tools:
                raise AgentError(
                    f"agent {self.id!r} asks for tools, and a flow cannot be given any: "
                    "wrap a function that takes the tools and returns the flow"
                )
            return _flow(subject, begun)
        if "Crew" in kinds:
            return _crew(subject, begun, tools)
        if hasattr(subject, "kickoff") and hasattr(subject, "role"):
            own = agent_with(subject, tools)
            said = {"role": "user", "content": prompt(begun.message)}
            return lambda: own.kickoff([*begun.before, said])
        raise AgentError(
            f"agent {self.id!r} built a {type(subject).__name__}, which CrewAI cannot run"
        )

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


def _begun(task: Task) -> _Begun:
    """What the run is told; one that was stopped by a question is told the same again."""
    if task.state is None:
        return _Begun(task.message, past(task), Record())
    try:
        kept = json.loads(task.state)
        message = ParseDict(kept["message"], Message())
        before = [(str(role), str(text)) for role, text in kept["past"]]
        record = Record(kept["record"])
        record.answer(kept["asked"], answer(task.message))
    except (ValueError, KeyError, TypeError, AttributeError, ParseError) as error:
        raise AgentError(
            "what the run left with its question cannot be read (was the agent changed since?): "
            f"{type(error).__name__}: {error}; ask it anew"
        ) from error
    return _Begun(message, before, record)


def _request(question: Question, begun: _Begun) -> InputRequest:
    return InputRequest(
        request_id=question.key,
        prompt=question.prompt,
        request_kind=question.kind,
        state=begun.state(question),
    )


async def _done(reader: Reader, told: Coroutine[Any, Any, Any]) -> Any:
    """What came of the work in the thread, all of which has been read by then."""
    work = asyncio.create_task(told)
    work.add_done_callback(lambda _: reader.end())
    try:
        await reader.read_all()
        output = await work
    except BaseException:
        reader.stop()
        await asyncio.wait([work])  # until its thread has ended, the run has not
        raise
    if reader.too_many:
        raise TooManySteps
    return output


def _told_to(
    sink: Callable[[Any, Any], None], asker: Asker, record: Record, human: Any, kickoff: Kickoff
) -> Any:
    """Run it in this thread and its context, telling ``sink`` and asking ``asker``."""
    from crewai.core.providers.human_input import set_provider
    from crewai.events.stream_context import add_stream_sink
    from crewai.events.utils.console_formatter import set_suppress_console_output

    watch()
    listen()
    add_stream_sink(sink)
    set_provider(human)
    set_suppress_console_output(True)
    current_asker.set(asker)
    current_record.set(record)
    try:
        return kickoff()
    except Stopped as stopped:
        # What was being read of the model is closed with the frames that read it.
        traceback.clear_frames(stopped.__traceback__)
        return None


def _flow(subject: Any, begun: _Begun) -> Kickoff:
    flow = fresh(subject)
    given: dict[str, Any] = data_of(begun.message)
    has_text = any(part.text for part in begun.message.parts)
    fields = getattr(type(flow.state), "model_fields", None)
    said = prompt(begun.message) if has_text or not given else None
    told: dict[str, Any] = {"message": said, "history": begun.before or None}
    known = {k: v for k, v in told.items() if v is not None and (fields is None or k in fields)}
    return lambda: flow.kickoff(inputs=known | given)


def _crew(subject: Any, begun: _Begun, tools: Sequence[Any]) -> Kickoff:
    crew = crew_with(subject, tools)
    text, given = prompt(begun.message), data_of(begun.message)
    asked = crew.fetch_inputs()
    inputs = dict.fromkeys(asked, text) | given
    if not asked and not given and crew.tasks:
        first = crew.tasks[0]
        first.description = f"{text}\n\n{first.description}"
    return lambda: crew.kickoff(inputs=inputs or None)
