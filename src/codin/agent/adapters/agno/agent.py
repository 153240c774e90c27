"""Agno's agents, teams and workflows as agents, and factories of them."""

from __future__ import annotations

import inspect
import uuid
from contextlib import aclosing
from typing import Any, ClassVar

from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._message import attachments, data_of, past, prompt, with_past
from codin.agent.adapters._run import Run
from codin.agent.adapters.agno.copy import equipped, own_words, parts_of, unreported
from codin.agent.adapters.agno.pause import Pause
from codin.agent.adapters.agno.reader import Reader
from codin.agent.adapters.base import Adapter, Traits, build, is_factory, skill
from codin.agent.answers import answer
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import Failed
from codin.tool.base import Tool

_READS = ("image", "audio", "application/pdf")


class AgnoAgent(Adapter):
    """An Agno ``Agent``, ``Team`` or ``Workflow``, or a function ``([tools[, model]])`` that builds
    one.

    For each run it is copied, and each agent and team in it is given the run's tools besides its
    own; the copies report nothing to Agno. An agent or a team is told the conversation as messages.
    A workflow gets one text, below the conversation where there is one, and a data part as
    ``additional_data``; where there is no text, the data part is its input.

    Each run is a session of its own, which is never read again: in the ``db`` that the agent was
    made with, or in one that ends with the run. When the run pauses, the session goes into the
    state of the input request, and the run goes on from there, in whatever process.
    """

    framework: ClassVar[str] = "agno"
    input_modes: ClassVar[tuple[str, ...]] = (
        *INPUT_MODES,
        "image/*",
        "audio/*",
        "application/pdf",
    )

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """Its description, role or how its instructions begin; its tools, members and steps."""
        parts = [part for part in parts_of(subject) if part is not subject]
        tools = getattr(subject, "tools", None)
        named = [(_name(t), _told(t)) for t in (tools if isinstance(tools, list) else [])]
        inner = [(getattr(p, "name", None) or "", own_words(p)) for p in parts]
        told = tuple(skill(name, words) for name, words in [*named, *inner] if name)
        return Traits(own_words(subject), told, tuple(parts))

    async def _run(self, task: Task, run: Run) -> None:
        subject = await self._subject(task, run)
        if task.state is None:
            run_id, session_id = uuid.uuid4().hex, uuid.uuid4().hex
            given, more = _given(subject, task)
            stream = subject.arun(given, run_id=run_id, **more, **_options(task, session_id))
        else:
            pause = Pause.load(task.state, subject)
            pause.answer(answer(task.message))
            if pause.is_open:
                await run.emit(pause.request())
                return
            run_id, session_id = pause.run_id, pause.session.session_id
            await subject.asave_session(pause.session)
            stream = subject.acontinue_run(**pause.decisions(), **_options(task, session_id))
        await self._read(subject, stream, run, run_id, session_id)

    async def _read(
        self, subject: Any, stream: Any, run: Run, run_id: str, session_id: str
    ) -> None:
        """Tell ``run`` all that is streamed, and how it ends."""
        reader = Reader(run, run_id, self.max_model_calls)
        stream = await stream if inspect.isawaitable(stream) else stream
        try:
            async with aclosing(stream):
                async for event in stream:
                    await reader.read(event)
        except Exception:
            # A workflow tells an error and raises it as well.
            if reader.end is None:
                raise
        if reader.end is not None:
            await run.emit(reader.end)
        elif not reader.completed:
            session = await subject.aget_session(session_id=session_id)
            if session is not None and (pause := Pause.of(session, run_id)) is not None:
                await run.emit(pause.request())

    async def _subject(self, task: Task, run: Run) -> Any:
        from agno.db.in_memory import InMemoryDb

        tools = [bridge(tool, run) for tool in task.tools]
        if is_factory(self.subject):
            subject = await build(self.subject, task, tools)
            if not hasattr(subject, "arun") or not hasattr(subject, "deep_copy"):
                raise AgentError(
                    f"agent {self.id!r} built a {type(subject).__name__}, "
                    "which is no Agent, Team or Workflow of Agno"
                )
            unreported(subject)
        else:
            subject = equipped(self.subject, tools)
        if subject.db is None:
            subject.db = InMemoryDb()
        return subject

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as an Agno function of this run."""
    from agno.tools.function import Function

    # Agno hands the call to a parameter named fc, and awaits only real coroutine functions.
    async def call(fc: Any, **arguments: Any) -> str:
        given = await run.use(tool, fc.call_id or uuid.uuid4().hex, arguments)
        return given.text

    return Function(
        name=tool.name,
        description=tool.spec.description,
        parameters=tool.spec.input_schema,
        entrypoint=call,
        skip_entrypoint_processing=True,
    )


def _name(tool: Any) -> str:
    name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
    return name if isinstance(name, str) else ""


def _told(tool: Any) -> str:
    return str(getattr(tool, "description", None) or getattr(tool, "__doc__", None) or "")


def _options(task: Task, session_id: str) -> dict[str, Any]:
    user = task.principal
    return {
        "stream": True,
        "stream_events": True,
        "session_id": session_id,
        # What an agent keeps of people in its own db must not cross tenants.
        "user_id": f"{user.tenant}/{user.subject}",
    }


def _given(subject: Any, task: Task) -> tuple[Any, dict[str, Any]]:
    """What the run is told, and the files that go beside it."""
    from agno.models.message import Message

    media = _media(task)
    if hasattr(subject, "steps"):
        data = data_of(task.message)
        if data and not task.text:
            return data, media
        return with_past(task), {**media, "additional_data": data or None}
    before = [Message(role=role, content=text) for role, text in past(task)]
    said = Message(role="user", content=prompt(task.message), **media)
    if hasattr(subject, "members"):
        # A team makes one message of several, and leaves out what it said itself.
        subject.additional_input = [*(subject.additional_input or []), *before]
        return said, {}
    return [*before, said], {}


def _media(task: Task) -> dict[str, Any]:
    from agno.media import Audio, File, Image

    files = attachments(task.message, reads=_READS)
    made: dict[str, list[Any]] = {"images": [], "audio": [], "files": []}
    for file in files:
        where = {"url": file.url} if file.url else {"content": file.raw}
        form = file.media_type.partition("/")[2]
        match file.kind:
            case "image":
                made["images"].append(Image(mime_type=file.media_type, format=form, **where))
            case "audio":
                made["audio"].append(Audio(mime_type=file.media_type, format=form, **where))
            case _:
                made["files"].append(
                    File(mime_type=file.media_type, filename=file.name or None, **where)
                )
    return {kind: each for kind, each in made.items() if each}
