"""Google ADK's agents as agents: of models, of workflows, apps, and factories of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from codin.agent._parts import jsonable
from codin.agent.adapters._answer import loading
from codin.agent.adapters._failure import explain, too_many_steps
from codin.agent.adapters._message import attachments, data_of, prompt
from codin.agent.adapters._run import Run
from codin.agent.adapters.adk.pause import READS, Paused, Place, parts_of
from codin.agent.adapters.adk.reader import Reader
from codin.agent.adapters.base import Adapter, Traits, beginning, build, is_factory, skill
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import Failed
from codin.agent.frameworks import framework_of
from codin.tool.base import Tool


class AdkAgent(Adapter):
    """An ADK agent, workflow or app, or a function ``([tools[, model]])`` that builds one.

    For each run the agent is cloned, and every ``LlmAgent`` in its tree is given the run's tools
    besides its own. Long-running tools, confirmations and requests for input or credentials become
    input requests. Session and artifacts are the run's, and so is memory unless the task has one of
    the platform; what a run that waits needs to go on is in its input request.
    """

    framework: ClassVar[str] = "adk"
    input_modes: ClassVar[tuple[str, ...]] = (
        *INPUT_MODES,
        "image/*",
        "audio/*",
        "video/*",
        "application/pdf",
    )

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """Its description, or how its instruction begins; its tools and sub-agents."""
        root = getattr(subject, "root_agent", subject)
        inner = [*getattr(root, "sub_agents", ()), *_named_in(getattr(root, "edges", ()))]
        inner = list({id(agent): agent for agent in inner}.values())
        tools = [tool for tool in getattr(root, "tools", None) or () if _tool_name(tool)]
        told = [skill(_tool_name(t), getattr(t, "description", None) or t.__doc__) for t in tools]
        return Traits(
            getattr(root, "description", "") or beginning(getattr(root, "instruction", "")),
            (*told, *(skill(agent.name, agent.description) for agent in inner)),
            (root, *inner, *(tool.agent for tool in tools if hasattr(tool, "agent"))),
        )

    async def _run(self, task: Task, run: Run) -> None:
        paused = self._paused(task)
        if paused is not None:
            paused.answered(task.message)
            if paused.calls:
                await run.emit(paused.request())
                return
        app = await self._app(task, run)
        user = paused.user if paused else task.principal.subject
        place = Place(app.name, user, task.memory)
        if paused is None:
            await place.begin(task, app.root_agent.name)
            message = _content(task, app.root_agent)
        else:
            with loading(self.id):
                calls = await place.restore(paused)
            for call_id, name in calls:
                run.known(call_id, name)
            message = paused.content()
        reader = Reader(run, app.root_agent, place)
        await self._drive(app, place, reader, message)
        if reader.waiting:
            paused = await place.paused(reader.waiting)
            await run.emit(paused.request())

    def _paused(self, task: Task) -> Paused | None:
        if task.state is None:
            return None
        with loading(self.id):
            return Paused.load(task.state)

    async def _drive(self, app: Any, place: Place, reader: Reader, message: Any) -> None:
        from google.adk.agents.run_config import RunConfig, StreamingMode
        from google.adk.runners import Runner

        told = app.model_copy(update={"plugins": [_listener(place, reader), *app.plugins]})
        stream = Runner(app=told, **place.services).run_async(
            user_id=place.user,
            session_id=place.session,
            new_message=message,
            run_config=RunConfig(
                streaming_mode=StreamingMode.SSE, max_llm_calls=self.max_model_calls
            ),
        )
        async with aclosing(stream):
            async for event in stream:
                await reader.read(event)
        reader.check()

    async def _app(self, task: Task, run: Run) -> Any:
        from google.adk.apps import App
        from google.adk.workflow import BaseNode

        tools = [bridge(tool, run) for tool in task.tools]
        made = self.subject
        if is_factory(made):
            made, tools = await build(made, task, tools), []
        app = made if isinstance(made, App) else None
        root = app.root_agent if app else made
        if not isinstance(root, BaseNode):
            raise AgentError(
                f"agent {self.id!r} built a {type(made).__name__}, which is no ADK agent"
            )
        root = _equipped(root, tools)
        if app is None:
            return App(name="codin", root_agent=root)
        return app.model_copy(update={"root_agent": root})

    def _explain(self, error: Exception) -> Failed:
        if type(error).__name__ == "LlmCallsLimitExceededError":
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


def _tool_name(tool: Any) -> str:
    """The name of a tool or of a function that is one; empty for a toolset, which is asked only
    when it is used."""
    name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
    return name if isinstance(name, str) else ""


def _named_in(edges: Any) -> list[Any]:
    """The agents that a workflow's edges name: its graph holds copies of them."""
    if isinstance(edges, Mapping):
        edges = list(edges.values())
    if isinstance(edges, (list, tuple)):
        return [node for edge in edges for node in _named_in(edge)]
    if hasattr(edges, "from_node"):
        return _named_in([edges.from_node, edges.to_node])
    return [edges] if framework_of(edges) else []


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as an ADK tool of this run."""
    from google.adk.tools.base_tool import BaseTool
    from google.genai import types

    class BridgedTool(BaseTool):  # type: ignore[misc]
        def _get_declaration(self) -> Any:
            return types.FunctionDeclaration(
                name=self.name,
                description=self.description,
                parameters_json_schema=tool.spec.input_schema,
            )

        async def run_async(self, *, args: dict[str, Any], tool_context: Any) -> Any:
            call_id = tool_context.function_call_id or uuid.uuid4().hex
            given = await run.use(tool, call_id, args)
            return {"error": given.text} if given.is_error else {"result": jsonable(given.value)}

    return BridgedTool(name=tool.name, description=tool.spec.description)


def _listener(place: Place, reader: Reader) -> Any:
    """Hears what the agents say that are tools of others: their runs are apart from the first."""
    from google.adk.plugins.base_plugin import BasePlugin

    class Listener(BasePlugin):  # type: ignore[misc]
        async def on_event_callback(self, *, invocation_context: Any, event: Any) -> None:
            if invocation_context.session.id != place.session:
                await reader.overhear(event)

    return Listener("codin_listener")


def _equipped(node: Any, tools: Sequence[Any]) -> Any:
    """A copy of the tree in which every agent that has a model has the tools too."""
    if getattr(node, "graph", None) is not None:
        return _equipped_workflow(node, tools)
    if not hasattr(node, "sub_agents"):
        return node
    update: dict[str, Any] = {"sub_agents": [_equipped(sub, tools) for sub in node.sub_agents]}
    if "tools" in type(node).model_fields:
        update["tools"] = [*node.tools, *tools]
    return node.clone(update=update)


def _equipped_workflow(workflow: Any, tools: Sequence[Any]) -> Any:
    nodes = {id(node): _equipped(node, tools) for node in workflow.graph.nodes}
    edges = [
        edge.model_copy(
            update={"from_node": nodes[id(edge.from_node)], "to_node": nodes[id(edge.to_node)]}
        )
        for edge in workflow.graph.edges
    ]
    graph = type(workflow.graph)(edges=edges)
    graph.validate_graph()
    return workflow.model_copy(update={"graph": graph})


def _content(task: Task, root: Any) -> Any:
    from google.genai import types

    words = prompt(task.message)
    if root.input_schema is not None and (data := data_of(task.message)):
        words = json.dumps(data)  # Nothing but the data fits a schema.
    files = attachments(task.message, reads=READS)
    return types.Content(role="user", parts=parts_of(words, files) or [types.Part(text="")])
