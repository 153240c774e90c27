"""smolagents' agents as agents, and factories of them.

smolagents works in a thread that nothing can stop. A run that is cancelled ends with the next
thing that its agent tells; one that waits for its model ends with its host, which the platform ends
then. That is why an agent of smolagents belongs in a host, where its code is executed too.
"""

from __future__ import annotations

import asyncio
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from codin.agent.adapters._answer import loading
from codin.agent.adapters._calls import Calls
from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._message import attachments, past, prompt
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, build, is_factory
from codin.agent.adapters.smolagents.copy import SentImage, copied, inputs_of
from codin.agent.adapters.smolagents.pause import Paused, ask_by_ending
from codin.agent.adapters.smolagents.reader import Asks, Reader, Stopped, Thread
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import Failed
from codin.tool.base import Tool

Begun = Callable[[], tuple[Any, Iterator[Any]]]


class SmolAgent(Adapter):
    """A ``ToolCallingAgent`` or a ``CodeAgent``, or a function ``([tools[, model]])`` that builds
    one.

    For each run the agent, and each agent that it manages, is copied and given the run's tools
    besides its own. A managed agent at work is a hand-off. The tool ``user_input`` of an agent that
    calls tools becomes an input request.
    """

    framework: ClassVar[str] = "smolagents"
    input_modes: ClassVar[tuple[str, ...]] = (*INPUT_MODES, "image/*")

    async def _run(self, task: Task, run: Run) -> None:
        thread = Thread(run)
        calls = Calls(self.max_model_calls)
        agent = await self._agent(task, thread, calls)
        reader = Reader(thread, {_identifier(tool.name) for tool in task.tools})
        reader.listen_to(agent)
        work = asyncio.create_task(
            asyncio.to_thread(_worked, reader, await self._begun(agent, task, run))
        )
        work.add_done_callback(lambda _: thread.end())
        try:
            await thread.tell_all()
            output = await work
        except BaseException as error:
            thread.stop()
            agent.interrupt()
            await asyncio.wait([work])  # until its thread has ended, the run has not
            if isinstance(error, Exception):
                raise (calls.failed or error) from None
            raise
        if calls.failed is not None:
            raise calls.failed  # smolagents gives an error of its last request for an answer
        if isinstance(output, Asks):
            await run.emit(Paused.of(agent, output.question, reader.observations).request())
        else:
            await reader.last(output)

    async def _begun(self, agent: Any, task: Task, run: Run) -> Begun:
        """The agent, about to do its steps."""
        ask_by_ending(agent)
        if task.state:
            with loading(self.id):
                returned = Paused.loads(task.state).resume(agent, task)
            for call_id, name, content in returned:
                await run.result(call_id, name, content)
            return lambda: _resumed(agent)
        text, images = prompt(task.message), _images(task)
        _remember(agent, past(task))
        # Without a reset it has the conversation that it was given.
        return lambda: (agent, agent.run(text, stream=True, reset=False, images=images or None))

    async def _agent(self, task: Task, thread: Thread, calls: Calls) -> Any:
        def used(model: str, taken: int, given: int) -> None:
            thread.tell(thread.run.usage, model, taken, given)

        tools = [bridge(tool, thread) for tool in task.tools]
        if not is_factory(self.subject):
            return copied(self.subject, tools, calls, used)
        agent = await build(self.subject, task, tools)
        if not hasattr(agent, "managed_agents") or not hasattr(agent, "memory"):
            raise AgentError(
                f"agent {self.id!r} built a {type(agent).__name__}, which is no agent of smolagents"
            )
        return copied(agent, (), calls, used)

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


def bridge(tool: Tool, thread: Thread) -> Any:
    """``tool`` as a tool of smolagents for this run."""
    from smolagents import Tool as SmolTool

    class BridgedTool(SmolTool):  # type: ignore[misc]
        name = _identifier(tool.name)
        description = tool.spec.description or tool.name
        inputs = inputs_of(tool.spec.input_schema)
        output_type = "any"
        skip_forward_signature_validation = True

        def forward(self, *args: Any, **arguments: Any) -> Any:
            given = {**dict(zip(self.inputs, args, strict=False)), **arguments}
            return thread.call(tool, given)

    return BridgedTool()


def _worked(reader: Reader, begun: Begun) -> Any:
    """Run it in this thread; what came of it, or the question at which it ended."""
    try:
        return reader.follow(*begun())
    except Asks as asks:
        return asks
    except Stopped as stopped:
        # What was being read of the model is closed with the frames that read it.
        traceback.clear_frames(stopped.__traceback__)
        return None


def _resumed(agent: Any) -> tuple[Any, Iterator[Any]]:
    """The agent, going on with its memory as it is."""
    said = [step.task for step in agent.memory.steps if hasattr(step, "task")]
    steps = agent.run(said[-1] if said else "", stream=True, reset=False)
    agent.memory.steps.pop()  # the task that it was told anew
    return agent, steps


def _identifier(name: str) -> str:
    """The name of a tool, as it can be called in code."""
    return re.sub(r"\W", "_", name)


def _remember(agent: Any, said: Sequence[tuple[str, str]]) -> None:
    from smolagents import ActionStep, TaskStep, Timing

    for number, (role, text) in enumerate(said):
        agent.memory.steps.append(
            ActionStep(step_number=number, timing=Timing(start_time=0.0), model_output=text)
            if role == "assistant"
            else TaskStep(task=text)
        )


def _images(task: Task) -> list[Any]:
    files = attachments(task.message, reads=["image"])
    if remote := next((file for file in files if file.url), None):
        raise AgentError(f"smolagents takes the bytes of an image, not its address {remote.url!r}")
    try:
        return [SentImage(file.raw or b"") for file in files]
    except OSError as error:
        raise AgentError(f"an image that was sent cannot be read: {error}") from error
