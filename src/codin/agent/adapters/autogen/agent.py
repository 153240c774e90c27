"""AutoGen's agents and teams as agents, and factories of them."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from codin.agent.adapters._answer import loading
from codin.agent.adapters._calls import Calls
from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._message import Attachment, attachments, past, prompt, result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters.autogen.copy import copied, speakers
from codin.agent.adapters.autogen.reader import Asked, Reader
from codin.agent.adapters.base import Adapter, build, is_factory
from codin.agent.answers import answer
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import Failed, InputRequest
from codin.tool.base import Tool


class AutoGenAgent(Adapter):
    """An ``AssistantAgent``, another chat agent or a team, or a function ``([tools[, model]])``
    that builds one.

    For each run an agent, and each agent of a team, is copied and given the run's tools besides its
    own. A hand-off to somebody who is no member of the team, and a ``UserProxyAgent`` that reads
    from the terminal, become input requests.
    """

    framework: ClassVar[str] = "autogen"
    input_modes: ClassVar[tuple[str, ...]] = (*INPUT_MODES, "image/*")

    async def _run(self, task: Task, run: Run) -> None:
        from autogen_core import CancellationToken

        calls = Calls(self.max_model_calls)
        reader = Reader(run)
        agent = await self._agent(task, reader, calls)
        said = await _begin(agent, task)
        token = CancellationToken()
        work = asyncio.create_task(_read(agent, said, token, reader))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            token.cancel()  # a team waits for its members, which only this stops
            work.cancel()
            await asyncio.wait([work])
            raise
        except Exception as error:
            if reader.asked is None:
                raise (calls.failed or error) from None  # a team hides what it was
        if reader.asked is not None:
            await run.emit(await _question(agent, reader.asked, run.last_text))

    async def _agent(self, task: Task, reader: Reader, calls: Calls) -> Any:
        tools = [bridge(tool, reader) for tool in task.tools]
        if not is_factory(self.subject):
            return await copied(self.subject, tools, calls, reader.run)
        agent = await build(self.subject, task, tools)
        if not hasattr(agent, "run_stream") or not hasattr(agent, "save_state"):
            raise AgentError(
                f"agent {self.id!r} built a {type(agent).__name__}, which is neither an agent nor "
                "a team of AutoGen"
            )
        return await copied(agent, (), calls, reader.run)

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


def bridge(tool: Tool, reader: Reader) -> Any:
    """``tool`` as an AutoGen tool of this run."""
    from autogen_core.tools import BaseTool
    from pydantic import BaseModel

    class BridgedTool(BaseTool[BaseModel, BaseModel]):  # type: ignore[misc]
        @property
        def schema(self) -> dict[str, Any]:
            return {
                "name": tool.name,
                "description": tool.spec.description,
                "parameters": tool.spec.input_schema,
            }

        async def run(self, args: Any, cancellation_token: Any) -> Any:
            return await self.run_json(args.model_dump(), cancellation_token)

        async def run_json(
            self, args: Mapping[str, Any], cancellation_token: Any, call_id: str | None = None
        ) -> str:
            if call_id:
                await reader.told(call_id)
            given = await reader.run.use(tool, call_id or uuid.uuid4().hex, args)
            if given.is_error:
                raise ToolFailure(given.text)
            return given.text

    return BridgedTool(BaseModel, BaseModel, tool.name, tool.spec.description)


class ToolFailure(Exception):
    """Tells AutoGen that what a tool gave is an error."""


async def _read(agent: Any, said: Any, token: Any, reader: Reader) -> None:
    stream = agent.run_stream(task=said, cancellation_token=token, output_task_messages=False)
    names = {speaker.name for speaker in speakers(agent)}
    async with aclosing(stream):
        async for message in stream:
            await reader.read(message, names)


async def _begin(agent: Any, task: Task) -> Any:
    """What the agent is told: the message, to one that knows the conversation, or the answer to
    one that has its state of before."""
    if task.state:
        return await _resumed(agent, task.state, answer(task.message))
    await _remember(agent, past(task))
    return _message(agent, task)


async def _remember(agent: Any, said: Sequence[tuple[str, str]]) -> None:
    """Put the conversation where each member's model sees it, and where no condition does that
    ends a team at a word."""
    from autogen_core.models import AssistantMessage, UserMessage

    for member in speakers(agent, tools=False):
        context = vars(member).get("_model_context")
        if context is None or "_participants" in vars(member):
            continue
        for role, text in said:
            await context.add_message(
                AssistantMessage(content=text, source=agent.name)
                if role == "assistant"
                else UserMessage(content=text, source="user")
            )


def _message(agent: Any, task: Task) -> Any:
    from autogen_agentchat.messages import MultiModalMessage, TextMessage
    from autogen_core import Image
    from PIL import Image as PillowImage

    text = prompt(task.message)
    files = attachments(task.message, reads=["image"])
    if not files:
        return TextMessage(content=text, source="user")
    if remote := next((file for file in files if file.url), None):
        raise AgentError(f"AutoGen takes the bytes of an image, not its address {remote.url!r}")
    if not any(map(_sees, speakers(agent))):
        raise AgentError("the agent's model sees no images: its model_info says vision = false")

    class SentImage(Image):  # type: ignore[misc]
        """An image as it was sent: AutoGen would paint it anew."""

        def __init__(self, file: Attachment) -> None:
            self._file = file

        @property
        def image(self) -> Any:
            return PillowImage.open(io.BytesIO(self._file.raw or b"")).convert("RGB")

        def to_base64(self) -> str:
            return self._file.base64

        @property
        def data_uri(self) -> str:
            return self._file.data_url

    images = [SentImage(file) for file in files]
    return MultiModalMessage(content=[text, *images], source="user")


def _sees(member: Any) -> bool:
    client = vars(member).get("_model_client")
    return bool(client is not None and client.model_info.get("vision"))


async def _question(agent: Any, asked: Asked, said: str) -> InputRequest:
    state = {
        "state": await agent.save_state(),
        "target": asked.target,
        "source": asked.source,
    }
    try:
        kept = json.dumps(state)
    except TypeError as error:
        raise AgentError(
            f"the agent asks for input and cannot be kept until the answer: {error}"
        ) from error
    return InputRequest(request_id=uuid.uuid4().hex, prompt=said or asked.prompt, state=kept)


async def _resumed(agent: Any, kept: str, given: Any) -> Any:
    """The answer, in the name of whoever was asked."""
    from autogen_agentchat.messages import HandoffMessage, TextMessage

    with loading(agent.name):
        state = json.loads(kept)
        source, target = state["source"], state["target"]
        await agent.load_state(state["state"])
    if target:
        return HandoffMessage(content=result_text(given), source=source, target=target)
    return TextMessage(content=result_text(given), source=source)
