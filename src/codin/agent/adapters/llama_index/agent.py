"""LlamaIndex's agents and workflows as agents, and factories of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from codin.agent.adapters._answer import loading
from codin.agent.adapters._failure import explain, too_many_steps
from codin.agent.adapters._message import attachments, data_of, past, prompt
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, build, is_factory
from codin.agent.adapters.llama_index.pause import Paused, question
from codin.agent.adapters.llama_index.reader import Reader, is_limit
from codin.agent.adapters.llama_index.tools import bridge
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import Failed

_CANCEL_SECONDS = 5.0


class LlamaIndexAgent(Adapter):
    """An agent, an ``AgentWorkflow`` or a ``Workflow``, or a function ``([tools[, model]])`` that
    builds one.

    For each run an agent, and each agent of an ``AgentWorkflow``, is copied and given the run's
    tools besides its own. An ``InputRequiredEvent`` becomes an input request; one that says
    ``request_kind="approval"`` asks for approval. The answer goes on as the ``HumanResponseEvent``
    that is waited for, with the other fields of the question.
    """

    framework: ClassVar[str] = "llamaindex"
    input_modes: ClassVar[tuple[str, ...]] = (*INPUT_MODES, "image/*")

    async def _run(self, task: Task, run: Run) -> None:
        with loading(self.id):
            paused = Paused.loads(task)
        if paused is not None and (wrong := paused.misfit(task.message)):
            await run.emit(question(paused, wrong))
            return
        reader = Reader(run, paused.asked if paused else [])
        workflow = await self._workflow(task, [bridge(tool, reader) for tool in task.tools])
        reader.listen_to(_agents(workflow))
        if paused is not None:
            with loading(self.id):
                handler = await paused.resume(workflow, task.message)
        else:
            handler = self._begin(workflow, task)
        try:
            if await reader.read_all(handler):
                await reader.last(handler, expected=_output(workflow))
            else:
                await run.emit(question(await Paused.of(workflow, handler, reader.asked)))
        finally:
            reader.threads.stop()
            await handler.cancel_run(timeout=_CANCEL_SECONDS)

    async def _workflow(self, task: Task, tools: Sequence[Any]) -> Any:
        if is_factory(self.subject):
            workflow = await build(self.subject, task, tools)
            if not hasattr(workflow, "run") or not hasattr(workflow, "start_event_class"):
                raise AgentError(
                    f"agent {self.id!r} built a {type(workflow).__name__}, which is neither an "
                    "agent nor a workflow of LlamaIndex"
                )
            return workflow
        if tools and not _agents(self.subject):
            raise AgentError(
                f"agent {self.id!r} asks for tools, and a workflow cannot be given any: "
                "wrap a function that takes the tools and returns the workflow"
            )
        if tools and (codes := [n for n, a in _agents(self.subject).items() if _codes(a)]):
            raise AgentError(
                f"agent {self.id!r} asks for tools, and {codes[0]!r} writes code, which knows "
                "only what executes it: wrap a function that takes the tools, gives them to "
                "what executes the code, and returns the agent"
            )
        return _equipped(self.subject, tools)

    def _begin(self, workflow: Any, task: Task) -> Any:
        if not _agents(workflow):
            attachments(task.message)
            return workflow.run(**_inputs(workflow, task))
        message, history = _messages(task)
        limit = self.max_model_calls
        if workflow.early_stopping_method == "generate":
            limit = max(1, limit - 1)  # it asks the model once more in the end
        return workflow.run(user_msg=message, chat_history=history, max_iterations=limit)

    def _explain(self, error: Exception) -> Failed:
        if is_limit(error):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


def _agents(workflow: Any) -> Mapping[str, Any]:
    """The agents that a workflow consists of, by name; none of a workflow that is no agent."""
    kinds = {cls.__name__ for cls in type(workflow).__mro__}
    if "BaseWorkflowAgent" in kinds:
        return {workflow.name: workflow}
    agents: Mapping[str, Any] = workflow.agents if "AgentWorkflow" in kinds else {}
    return agents


def _codes(agent: Any) -> bool:
    return hasattr(agent, "code_execute_fn")


def _output(workflow: Any) -> str:
    """What its output is called, where it has a schema or is made by a function."""
    schema = getattr(workflow, "output_cls", None)
    made = getattr(workflow, "structured_output_fn", None)
    return schema.__name__ if schema is not None else "structured output" if made else ""


def _equipped(workflow: Any, tools: Sequence[Any]) -> Any:
    """A copy in which every agent has the tools too; what is no agent stays as it is."""
    agents = _agents(workflow)
    if not agents:
        return workflow
    if workflow in agents.values():
        return workflow.model_copy(update={"tools": [*(workflow.tools or []), *tools]})
    own = copy.copy(workflow)
    own.agents = {name: _equipped(agent, tools) for name, agent in agents.items()}
    return own


def _messages(task: Task) -> tuple[Any, list[Any]]:
    """The task's message and those before it, as LlamaIndex has them."""
    from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock

    images = [
        ImageBlock(url=file.url, image=file.raw, image_mimetype=file.media_type)
        for file in attachments(task.message, reads=["image"])
    ]
    said = ChatMessage(role="user", blocks=[TextBlock(text=prompt(task.message)), *images])
    return said, [ChatMessage(role=role, content=text) for role, text in past(task)]


def _inputs(workflow: Any, task: Task) -> dict[str, Any]:
    """What a workflow's start event is made of: the data that was sent, or the text."""
    if given := data_of(task.message):
        return given
    text = prompt(task.message)
    fields = workflow.start_event_class.model_fields
    if not fields:
        history = [{"role": role, "content": said} for role, said in past(task)]
        return {"message": text, "user_msg": text, "chat_history": history}
    required = [name for name, field in fields.items() if field.is_required()]
    return {(required or list(fields))[0]: text}
