"""Agents of the OpenAI Agents SDK as agents: ``Agent``, and factories of it."""

from __future__ import annotations

import asyncio
import copy
import json
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._message import attachments, past, prompt
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, Traits, beginning, build, is_factory, skill
from codin.agent.adapters.openai_agents.events import Reader
from codin.agent.adapters.openai_agents.pause import Paused
from codin.agent.answers import answer
from codin.agent.base import INPUT_MODES, AgentError, AgentInfo, ModelAccess, Task
from codin.agent.events import Failed, Rejected
from codin.tool.base import Tool

_READS = ("image", "application/pdf")


class OpenAiAgent(Adapter):
    """An ``Agent`` of the SDK, or a function ``([tools[, model]]) -> Agent``.

    For each run the agents that can be handed off to are cloned with it, and each has the run's
    tools besides its own. Calls that need an approval become input requests, one after the other.
    An agent whose tools want a context is built by a function that returns ``(agent, context)``.
    Nothing of a run is traced to OpenAI.
    """

    framework: ClassVar[str] = "openai-agents"
    input_modes: ClassVar[tuple[str, ...]] = (*INPUT_MODES, "image/*", "application/pdf")

    def __init__(self, subject: Any, info: AgentInfo, **options: Any) -> None:
        super().__init__(subject, info, **options)
        self._providers: dict[ModelAccess, Any] = {}

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """How its instructions begin; its tools, and the agents that it passes on to. Agents that
        pass on to each other are both their own."""
        if is_factory(subject):
            return Traits()
        told = [skill(tool.name, getattr(tool, "description", "")) for tool in subject.tools]
        told += [skill(to.name, to.handoff_description) for to in _passes_to(subject)]
        parts = [
            part
            for part in _reached(subject)
            if not any(further is subject for further in _reached(part))
        ]
        return Traits(beginning(subject.instructions), tuple(told), tuple(parts))

    async def _run(self, task: Task, run: Run) -> None:
        paused = Paused.load(task.state) if task.state else None
        if paused is not None:
            paused.answer(answer(task.message))
            if paused.waiting:
                await run.emit(paused.request())
                return
        agent, context, team = await self._agent(task, run)
        given = await paused.resumed(agent, context) if paused else _input(task)
        reader = Reader(run, paused.rejected if paused else frozenset())
        config = self._config(task.model, self._watching(reader, team))
        try:
            result = await self._drive(reader, agent, given, context, config)
        except Exception as error:
            refusal = self._refusal(error)
            if refusal is None:
                raise
            await run.emit(refusal)
            return
        if result.interruptions:
            await run.emit(Paused.of(result).request())

    async def _drive(
        self, reader: Reader, agent: Any, given: Any, context: Any, config: Any
    ) -> Any:
        from agents import Runner

        result = Runner.run_streamed(
            agent,
            given,
            context=context,
            max_turns=self.max_model_calls,
            hooks=_in_step(reader),
            run_config=config,
        )
        reader.begin(result)
        events = result.stream_events()
        try:
            async for event in events:
                await reader.read(event)
            await reader.end()
        finally:
            # In this order: to be closed, the stream waits for the run.
            await _stop(result)
            await events.aclose()
        return result

    def _watching(self, reader: Reader, team: _Team) -> Any:
        """What is called before each request to a model, also for agents that are tools: these
        have no other way to be seen. The limit is that of all of them together."""
        asked = 0

        async def watch(data: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked > self.max_model_calls:
                raise TooManySteps
            if not team.has(data.agent):
                await reader.inner(data.model_data.input)
            return data.model_data

        return watch

    def _config(self, access: ModelAccess | None, watch: Any) -> Any:
        from agents import ModelSettings, RunConfig

        given = {} if access is None else {"model_provider": self._provider(access)}
        return RunConfig(
            tracing_disabled=True,
            tool_not_found_behavior="return_error_to_model",
            tool_name_collision_policy="error",
            # The chat API counts tokens of a stream only when it is asked to.
            model_settings=ModelSettings(include_usage=True),
            call_model_input_filter=watch,
            **given,
        )

    def _provider(self, access: ModelAccess) -> Any:
        """Where models that are only named come from: the SDK's own way is the Responses API, and
        the platform gives models by the chat API."""
        from agents import MultiProvider
        from openai import AsyncOpenAI

        if access not in self._providers:
            # The SDK's own client is one for the whole process, whatever loop made it.
            client = AsyncOpenAI(base_url=access.base_url, api_key=access.api_key)
            self._providers[access] = MultiProvider(
                openai_client=client, openai_use_responses=False
            )
        return self._providers[access]

    async def _agent(self, task: Task, run: Run) -> tuple[Any, Any, _Team]:
        """The agent as it is run, its context, and the agents that it is run with."""
        from agents import Agent

        tools = [bridge(tool, run) for tool in task.tools]
        if not is_factory(self.subject):
            team = _Team(tools, task.model)
            return team.member(self.subject), None, team
        built = await build(self.subject, task, tools)
        agent, context = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
        if not isinstance(agent, Agent):
            raise AgentError(
                f"agent {self.id!r} built a {type(agent).__name__}, which is no Agent of the "
                "OpenAI Agents SDK"
            )
        team = _Team([], task.model)
        return team.member(agent), context, team

    def _refusal(self, error: Exception) -> Rejected | Failed | None:
        """The end of a run that one of the agent's guardrails did not let pass."""
        name = type(error).__name__
        if not name.endswith("GuardrailTripwireTriggered"):
            return None
        found: Any = getattr(error, "guardrail_result", error)
        guardrail = found.guardrail.get_name()
        if name.startswith("Input"):
            return Rejected(message=f"{self.id} does not take this: {guardrail!r} refused it")
        what = {"Output": "its answer", "ToolIn": "a tool's input", "ToolOu": "a tool's output"}
        return Failed(
            error_type="GuardrailTripped",
            message=f"{self.id} was stopped by its guardrail {guardrail!r}: it refused "
            f"{what.get(name[:6], 'it')}",
        )

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps) or type(error).__name__ == "MaxTurnsExceeded":
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


class _Team:
    """Clones of the agents of a run, with the tools of the run: agents may hand off in circles."""

    def __init__(self, tools: Sequence[Any], access: ModelAccess | None) -> None:
        self._tools = tools
        self._access = access
        self._members: dict[int, tuple[Any, Any]] = {}

    def member(self, agent: Any) -> Any:
        """``agent`` as it is run."""
        if id(agent) not in self._members:
            clone = agent.clone(tools=[*agent.tools, *self._tools], model=self._model(agent))
            # Kept with the original: an id is its own only while the object lives.
            self._members[id(agent)] = self._members[id(clone)] = (clone, agent)
            clone.handoffs = [self._handoff(to) for to in agent.handoffs]
        return self._members[id(agent)][0]

    def has(self, agent: Any) -> bool:
        """Whether ``agent`` is one of the clones."""
        return id(agent) in self._members and self._members[id(agent)][0] is agent

    def _handoff(self, to: Any) -> Any:
        from agents import Handoff

        if not isinstance(to, Handoff):
            return self.member(to)

        async def invoke(context: Any, arguments: str) -> Any:
            return self.member(await to.on_invoke_handoff(context, arguments))

        changed = copy.copy(to)
        changed.on_invoke_handoff = invoke
        if (target := _target(to)) is not None:
            vars(changed)["_agent_ref"] = weakref.ref(self.member(target))
        return changed

    def _model(self, agent: Any) -> Any:
        """The agent's model; its name alone, where it would ask the platform by the Responses API:
        a model that is only named is had by the chat API."""
        own = agent.model
        names = {cls.__name__ for cls in type(own).__mro__}
        if self._access is None or "OpenAIResponsesModel" not in names:
            return own
        client = getattr(own, "_client", None)
        asks = str(getattr(client, "base_url", "")).rstrip("/")
        return own.model if asks == self._access.base_url.rstrip("/") else own


def _passes_to(agent: Any) -> list[Any]:
    """The agents that ``agent`` hands off to, as far as they are known before it does."""
    named = [_target(to) if hasattr(to, "on_invoke_handoff") else to for to in agent.handoffs]
    return [to for to in named if to is not None]


def _target(to: Any) -> Any:
    """The agent of a ``Handoff``, which the SDK keeps to find those of a run that goes on."""
    known = vars(to).get("_agent_ref")
    return None if known is None else known()


def _reached(agent: Any) -> list[Any]:
    """All agents that work for ``agent``: passed on to, and as tools."""
    reached: list[Any] = []
    waiting = [agent]
    while waiting:
        now = waiting.pop()
        tools = [vars(t).get("_agent_instance") for t in now.tools if hasattr(t, "__dict__")]
        for part in [*_passes_to(now), *filter(None, tools)]:
            if not any(part is known for known in reached):
                reached.append(part)
                waiting.append(part)
    return reached


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as a function tool of this run."""
    from agents import FunctionTool

    async def invoke(context: Any, arguments: str) -> str:
        try:
            given = json.loads(arguments or "{}")
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return f"the arguments of {tool.name} are no JSON object: {arguments[:200]}"
        return (await run.use(tool, context.tool_call_id, given)).text

    return FunctionTool(
        name=tool.name,
        description=tool.spec.description,
        params_json_schema=dict(tool.spec.input_schema),
        on_invoke_tool=invoke,
        strict_json_schema=False,
    )


def _in_step(reader: Reader) -> Any:
    """Hooks by which the run waits for what it said to be told before it calls tools: it streams
    into a queue without an end, and would be ahead of its reader."""
    from agents import RunHooks

    class InStep(RunHooks):  # type: ignore[misc]
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            await reader.told()

    return InStep()


def _input(task: Task) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in past(task)]
    files = [_content(file) for file in attachments(task.message, reads=_READS)]
    text = prompt(task.message)
    content: Any = [{"type": "input_text", "text": text}, *files] if files else text
    return [*said, {"role": "user", "content": content}]


def _content(file: Any) -> Mapping[str, Any]:
    """A file of a message as the model is given it."""
    if file.kind == "image":
        return {"type": "input_image", "image_url": file.data_url, "detail": "auto"}
    if file.url is not None:
        return {"type": "input_file", "file_url": file.url}
    return {"type": "input_file", "file_data": file.data_url, "filename": file.name or "file.pdf"}


async def _stop(result: Any) -> None:
    """End what still runs of a run that is left, and wait for it."""
    if not result.is_complete:
        result.cancel()
    working = result.run_loop_task
    if working is not None and not working.done():
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
