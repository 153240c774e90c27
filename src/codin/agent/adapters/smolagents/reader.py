"""What smolagents' agents do, in a thread, told to a run in its loop."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters._message import result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters._threads import ThreadCalls
from codin.agent.events import ArtifactProduced
from codin.tool.base import Tool

_ANSWER = "final_answer"
_CODE = "python_interpreter"


class Stopped(BaseException):
    """Ends a run from within, past all that would catch an exception and go on."""


class Asks(Stopped):
    """Ends a run that waits for its human."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question


class Thread:
    """Between the thread in which agents work and the loop of their run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._loop = asyncio.get_running_loop()
        self._said: asyncio.Queue[tuple[Callable[..., Awaitable[None]], Any] | None]
        self._said = asyncio.Queue()
        self._stopped = False
        self._calls = ThreadCalls()

    def tell(self, what: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Have ``what`` told, after all that was told before."""
        if self._stopped:
            raise Stopped
        self._loop.call_soon_threadsafe(self._said.put_nowait, (what, arguments))

    def call(self, tool: Tool, arguments: Mapping[str, Any]) -> Any:
        """Call ``tool`` for the model.

        Raises:
            RuntimeError: what went wrong, for the model to read.
        """
        if self._stopped:
            raise Stopped
        try:
            given = self._calls.wait(self._use(tool, arguments))
        except CancelledError:
            raise Stopped from None
        if given.is_error:
            raise RuntimeError(given.text)
        return jsonable(given.value)

    def end(self) -> None:
        self._said.put_nowait(None)

    def stop(self) -> None:
        """End the run the next time that it tells something; tools end at once."""
        self._stopped = True
        self._calls.stop()

    async def tell_all(self) -> None:
        """Until there is no more."""
        while (said := await self._said.get()) is not None:
            what, arguments = said
            try:
                await what(*arguments)
            finally:
                self._said.task_done()

    async def _use(self, tool: Tool, arguments: Mapping[str, Any]) -> Any:
        await self._said.join()
        return await self.run.use(tool, uuid.uuid4().hex, arguments)


class Reader:
    """Tells what an agent's steps are, those of the agents that it manages too."""

    def __init__(self, thread: Thread, bridged: set[str]) -> None:
        self._thread = thread
        self._run = thread.run
        self._bridged = bridged
        self.observations: dict[str, str] = {}
        """What the calls of the agent's turn gave."""

    def listen_to(self, agent: Any) -> None:
        """Have the agents that ``agent`` manages tell what they do while they do it."""
        for member in agent.managed_agents.values():
            member.run = self._managed(agent, member)
            self.listen_to(member)

    def follow(self, agent: Any, steps: Iterator[Any]) -> Any:
        """Tell the steps as they come; what the last gave."""
        message, planning = uuid.uuid4().hex, _plans(agent, 1)
        open_calls: dict[str, str] = {}
        output: Any = None
        for step in steps:
            match type(step).__name__:
                case "ChatMessageStreamDelta":
                    thinking = planning or hasattr(agent, "python_executor")
                    self._piece(message, step.content or "", thinking=thinking)
                case "PlanningStep":
                    if not agent.stream_outputs:
                        self._thread.tell(self._run.thought, step.plan)
                    planning = False
                case "ToolCall":
                    self._called(step, open_calls)
                case "ToolOutput":
                    self.observations[step.id] = step.observation
                    self._returned(step, open_calls)
                case "ActionStep":
                    self._ended(message, step, open_calls, agent)
                    message, planning = uuid.uuid4().hex, _plans(agent, step.step_number + 1)
                case "FinalAnswerStep":
                    output = step.output
        return output

    async def last(self, output: Any) -> None:
        """The final answer: text, data, or something made."""
        await self._run.finish()
        if type(output).__name__ in {"AgentImage", "AgentAudio"}:
            await self._run.emit(_made(output))
        elif isinstance(output, Mapping | list):
            await self._run.emit(
                ArtifactProduced(artifact_id=uuid.uuid4().hex, data=jsonable(output))
            )
        else:
            text = output if isinstance(output, str) else result_text(jsonable(output))
            if text.strip() != self._run.last_text.strip():
                await self._run.final(uuid.uuid4().hex, str(text))

    def _managed(self, agent: Any, member: Any) -> Callable[..., Any]:
        bare = member.run
        front, back = agent.name or agent.agent_name, member.name

        def run(task: str, **options: Any) -> Any:
            self._thread.tell(self._run.hand_off, front, back)
            options.pop("stream", None)
            return self.follow(member, bare(task, stream=True, **options))

        return run

    def _piece(self, message: str, text: str, *, thinking: bool) -> None:
        if thinking:
            self._thread.tell(self._run.thought, text)
        else:
            self._thread.tell(self._run.delta, message, text)

    def _called(self, call: Any, open_calls: dict[str, str]) -> None:
        if call.name in self._bridged or call.name == _ANSWER:
            return
        open_calls[call.id] = call.name
        given = call.arguments
        arguments = given if isinstance(given, Mapping) else {"code": given}
        self._thread.tell(self._run.call, call.id, call.name, arguments)

    def _returned(self, output: Any, open_calls: dict[str, str]) -> None:
        if name := open_calls.pop(output.id, None):
            self._thread.tell(self._run.result, output.id, name, output.observation)

    def _ended(self, message: str, step: Any, open_calls: dict[str, str], agent: Any) -> None:
        """The end of a step: what did not return ends with what the model is told."""
        codes = hasattr(agent, "python_executor")
        for call_id, name in open_calls.items():
            if step.error is not None:
                self._thread.tell(self._failed, call_id, name, str(step.error))
            elif codes:
                self._thread.tell(self._run.result, call_id, name, step.observations or "")
        open_calls.clear()
        if not codes:
            self._thread.tell(self._run.final, message, step.model_output or "")
        elif not agent.stream_outputs:
            self._thread.tell(self._run.thought, step.model_output or "")

    async def _failed(self, call_id: str, name: str, content: str) -> None:
        await self._run.result(call_id, name, content, is_error=True)


def _plans(agent: Any, step: int) -> bool:
    every = agent.planning_interval
    return bool(every) and (step == 1 or (step - 1) % every == 0)


def _made(output: Any) -> ArtifactProduced:
    """An image or a recording that the agent gives for its answer."""
    if type(output).__name__ == "AgentImage":
        held = io.BytesIO()
        output.to_raw().save(held, format="PNG")
        raw, media_type, name = held.getvalue(), "image/png", "image.png"
    else:
        with open(output.to_string(), "rb") as file:
            raw, media_type, name = file.read(), "audio/wav", "audio.wav"
    return ArtifactProduced(artifact_id=uuid.uuid4().hex, name=name, media_type=media_type, raw=raw)
