"""Pydantic AI agents as agents: ``Agent``, and factories of it."""

from __future__ import annotations

import inspect
import mimetypes
from collections.abc import AsyncIterable, Mapping, Sequence
from typing import Any, ClassVar

from codin.agent._parts import jsonable
from codin.agent.adapters._failure import explain, too_many_steps
from codin.agent.adapters._message import attachments, past, prompt
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, Traits, beginning, build, is_factory, skill
from codin.agent.adapters.pydantic_ai.pause import Paused, arguments_of
from codin.agent.answers import answer
from codin.agent.base import INPUT_MODES, AgentError, AgentInfo, ModelAccess, Task
from codin.agent.events import ArtifactProduced, Failed
from codin.ids import new_id
from codin.tool.base import Tool

_READS = ("image", "audio", "video", "application/pdf")


class PydanticAiAgent(Adapter):
    """A Pydantic AI ``Agent``, or a function ``([tools[, model]]) -> Agent``.

    The run's tools are a toolset of the run, besides the agent's own. Calls that need an approval,
    or whose result comes from outside (deferred tools), become input requests, one after the other.
    An agent that has ``deps`` is built by a function that returns ``(agent, deps)``.
    """

    framework: ClassVar[str] = "pydantic-ai"
    input_modes: ClassVar[tuple[str, ...]] = (
        *INPUT_MODES,
        "image/*",
        "audio/*",
        "video/*",
        "application/pdf",
    )

    def __init__(self, subject: Any, info: AgentInfo, **options: Any) -> None:
        super().__init__(subject, info, **options)
        if not is_factory(subject):
            self._check_deps(subject, None)
        self._models: dict[tuple[ModelAccess, str], Any] = {}

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """How its instructions begin, and the tools that are its own."""
        own = getattr(subject, "wrapped", subject)
        said = [part.instruction for part in getattr(own, "_instructions", ())]
        said += getattr(own, "_system_prompts", ())
        tools = [
            skill(name, tool.description)
            for toolset in getattr(subject, "toolsets", ())
            for name, tool in getattr(toolset, "tools", {}).items()
        ]
        texts = [text for text in said if isinstance(text, str)]
        return Traits(beginning(next(iter(texts), "")), tuple(tools))

    async def _run(self, task: Task, run: Run) -> None:
        paused = Paused.load(task.state) if task.state else None
        if paused is not None:
            paused.answer(answer(task.message))
            if paused.waiting:
                await run.emit(paused.request())
                return
        await self._drive(task, run, paused.resumed() if paused else _begin(task))

    async def _drive(self, task: Task, run: Run, given: Mapping[str, Any]) -> None:
        from pydantic_ai import DeferredToolRequests
        from pydantic_ai.capabilities import ReinjectSystemPrompt
        from pydantic_ai.usage import UsageLimits

        agent, deps, toolsets = await self._agent(task, run)
        reader = _Reader(run)
        result = await agent.run(
            **given,
            **_pausing(agent),
            deps=deps,
            infer_name=False,
            toolsets=toolsets,
            model=self._model(agent, task.model),
            usage_limits=UsageLimits(request_limit=self.max_model_calls),
            event_stream_handler=reader.hear,
            # A history handed in has no system prompt, and would keep the agent's own out.
            capabilities=[ReinjectSystemPrompt()],
        )
        await reader.end(result)
        if isinstance(result.output, DeferredToolRequests):
            await run.emit(Paused.of(result).request())

    async def _agent(self, task: Task, run: Run) -> tuple[Any, Any, Sequence[Any]]:
        """The agent, its deps, and the toolsets of the run."""
        from pydantic_ai.agent import AbstractAgent
        from pydantic_ai.toolsets import FunctionToolset

        tools = [bridge(tool, run) for tool in task.tools]
        toolsets = [FunctionToolset(tools)]
        if not is_factory(self.subject):
            return self.subject, None, toolsets
        built = await build(self.subject, task, tools)
        agent, deps = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
        if not isinstance(agent, AbstractAgent):
            raise AgentError(
                f"agent {self.id!r} built a {type(agent).__name__}, which is no Pydantic AI Agent"
            )
        self._check_deps(agent, deps)
        return agent, deps, [] if _takes_tools(self.subject) else toolsets

    def _check_deps(self, agent: Any, deps: Any) -> None:
        wanted = agent.deps_type
        if deps is None and wanted not in (object, type(None)):
            raise AgentError(
                f"agent {self.id!r} needs deps ({getattr(wanted, '__name__', wanted)}): wrap a "
                "function that returns (agent, deps) instead (framework='pydantic-ai')"
            )

    def _model(self, agent: Any, access: ModelAccess | None) -> Any:
        """The model to run with instead of the agent's own; None to leave it.

        The platform gives models by the chat API: an agent that would ask it by the Responses API,
        as those with a plain "openai:..." do, asks it by the chat API; and one that has no model
        gets the platform's.
        """
        from pydantic_ai.models import infer_model

        if access is None:
            return None
        own = infer_model(agent.model) if isinstance(agent.model, str) else agent.model
        if not (own is None or _asks_for_responses(own, access)):
            return None
        key = (access, access.name if own is None else own.model_name)
        if key not in self._models:
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            provider = OpenAIProvider(base_url=access.base_url, api_key=access.api_key)
            settings = None if own is None else own.settings
            self._models[key] = OpenAIChatModel(key[1], provider=provider, settings=settings)
        return self._models[key]

    def _explain(self, error: Exception) -> Failed:
        if type(error).__name__ == "UsageLimitExceeded" and "request_limit" in str(error):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


class _Reader:
    """Tells a run what an agent does. It is called for each step: the model's, and its tools'."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told = (0, 0)
        self._model = ""

    async def hear(self, context: Any, events: AsyncIterable[Any]) -> None:
        self._model = context.model.model_name
        await self._count(context.usage)
        message = new_id()
        texts: dict[int, str] = {}
        async for event in events:
            match event.event_kind:
                case "part_start" if event.part.part_kind == "text":
                    texts[event.index] = event.part.content
                    await self._run.delta(message, event.part.content)
                case "part_delta" if event.delta.part_delta_kind == "text":
                    texts[event.index] += event.delta.content_delta
                    await self._run.delta(message, event.delta.content_delta)
                case "part_start" | "part_delta" if thought := _thought(event):
                    await self._run.thought(thought)
                case "part_end":
                    await self._part(event.part)
                case "function_tool_call":
                    part = event.part
                    await self._run.call(part.tool_call_id, part.tool_name, arguments_of(part))
                case "function_tool_result":
                    await self._returned(event.part)
                    await self._files(event.content)
        await self._run.final(message, "".join(texts.values()))

    async def end(self, result: Any) -> None:
        """Tell the output, as far as it was not said already."""
        from pydantic_ai import DeferredToolRequests
        from pydantic_ai.messages import BinaryContent

        await self._count(result.usage)
        output = result.output
        if isinstance(output, str):
            if output != self._run.last_text:
                await self._run.final(new_id(), output)
        elif output is not None and not isinstance(output, DeferredToolRequests | BinaryContent):
            await self._run.emit(
                ArtifactProduced(
                    artifact_id=new_id(),
                    name=type(output).__name__,
                    media_type="application/json",
                    data=jsonable(output),
                )
            )

    async def _part(self, part: Any) -> None:
        match part.part_kind:
            case "file":
                await self._file(part.content)
            case "builtin-tool-call":
                await self._run.call(part.tool_call_id, part.tool_name, arguments_of(part))
            case "builtin-tool-return":
                await self._returned(part)

    async def _returned(self, part: Any) -> None:
        content = [
            f"the file {_file_name(item)}" if _is_file(item) else item
            for item in part.content_items()
        ]
        whole = content if isinstance(part.content, list) else content[0]
        wrong = part.outcome != "success"
        await self._run.result(part.tool_call_id, part.tool_name, whole, is_error=wrong)
        await self._files(part.files)

    async def _files(self, content: Any) -> None:
        """Tell the files that a tool gave to its model."""
        if content is not None and not isinstance(content, str):
            for item in content:
                await self._file(item)

    async def _file(self, item: Any) -> None:
        if _is_file(item):
            await self._run.emit(
                ArtifactProduced(
                    artifact_id=new_id(),
                    name=_file_name(item),
                    media_type=item.media_type,
                    raw=getattr(item, "data", None),
                    url=getattr(item, "url", None),
                )
            )

    async def _count(self, usage: Any) -> None:
        """Tell what was used since the last time: the run's count goes up, with that of agents
        that share it."""
        before, self._told = self._told, (usage.input_tokens, usage.output_tokens)
        await self._run.usage(self._model, self._told[0] - before[0], self._told[1] - before[1])


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as a Pydantic AI tool of this run."""
    from pydantic_ai.exceptions import ToolFailed
    from pydantic_ai.tools import Tool as PydanticTool
    from pydantic_core import SchemaValidator, core_schema

    async def call(context: Any, **arguments: Any) -> str:
        given = await run.use(tool, context.tool_call_id, arguments)
        if given.is_error:
            raise ToolFailed(given.text)
        return given.text

    made = PydanticTool.from_schema(
        call, tool.name, tool.spec.description, tool.spec.input_schema, takes_ctx=True
    )
    # The arguments are the executor's to check; that they are an object has to be known here.
    made.function_schema.validator = SchemaValidator(
        core_schema.dict_schema(core_schema.str_schema())
    )
    return made


def _begin(task: Task) -> dict[str, Any]:
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

    history = [
        ModelResponse(parts=[TextPart(text)])
        if role == "assistant"
        else ModelRequest(parts=[UserPromptPart(text)])
        for role, text in past(task)
    ]
    said = prompt(task.message)
    files = [_content(file) for file in attachments(task.message, reads=_READS)]
    return {"user_prompt": [said, *files] if files else said, "message_history": history}


def _content(file: Any) -> Any:
    """A file of a message as the model is given it."""
    from pydantic_ai import messages

    if file.url is None:
        return messages.BinaryContent(
            file.raw or b"", media_type=file.media_type, identifier=file.name or None
        )
    kinds = {"image": "ImageUrl", "audio": "AudioUrl", "video": "VideoUrl"}
    kind = getattr(messages, kinds.get(file.kind, "DocumentUrl"))
    return kind(file.url, media_type=file.media_type)


def _pausing(agent: Any) -> dict[str, Any]:
    """That the run may end with calls that wait, where the agent does not say so itself."""
    from pydantic_ai import DeferredToolRequests

    own = agent.output_type
    outputs = list(own) if isinstance(own, list | tuple) else [own]
    # Validators are for the agent's own outputs: with these Pydantic AI takes no others.
    validated = getattr(getattr(agent, "wrapped", agent), "_output_validators", None)
    if DeferredToolRequests in outputs or validated:
        return {}
    return {"output_type": [*outputs, DeferredToolRequests]}


def _takes_tools(factory: Any) -> bool:
    parameters = inspect.signature(factory).parameters
    return "tools" in parameters or any(
        p.default is p.empty and name != "model" for name, p in parameters.items()
    )


def _asks_for_responses(model: Any, access: ModelAccess) -> bool:
    names = {cls.__name__ for cls in type(model).__mro__}
    base_url = str(getattr(model, "base_url", ""))
    return "OpenAIResponsesModel" in names and base_url.rstrip("/") == access.base_url.rstrip("/")


def _thought(event: Any) -> str:
    if event.event_kind == "part_start":
        return event.part.content if event.part.part_kind == "thinking" else ""
    return (event.delta.content_delta or "") if event.delta.part_delta_kind == "thinking" else ""


def _is_file(item: Any) -> bool:
    return getattr(item, "kind", None) in _FILES


_FILES = frozenset({"binary", "image-url", "audio-url", "video-url", "document-url"})


def _file_name(item: Any) -> str:
    name = str(item.identifier)
    return name if "." in name else name + (mimetypes.guess_extension(item.media_type) or "")
