"""How an agent's runs follow each other, stand side by side, and are stopped."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from codin.agent.a2a import agent_message, text_part, user_message
from codin.agent.base import Agent
from codin.agent.events import Completed, TextDelta
from codin.testing._agent_base import AgentSuite, behaviour, cancel, collect, until
from codin.testing.agent_fakes import FakeTool, task_for
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn, hang, text, tool_call


class WorkSuite(AgentSuite):
    """The conversation, and cancelling."""

    @behaviour("conversation")
    async def test_the_history_is_handed_to_the_model(self) -> None:
        if not self.takes_history:
            return
        history = [user_message("My name is Ada."), agent_message([text_part("Hello Ada.")])]
        task = task_for("What is my name?", history=history)
        async with self._run([text("Ada.")], task) as (_, model):
            roles = [m["role"] for m in model.requests[0].messages if m["role"] != "system"]
            assert roles == ["user", "assistant", "user"]
            assert "My name is Ada." in model.requests[0].text
            assert "What is my name?" in model.requests[0].last_user

    @behaviour("conversation")
    async def test_nothing_is_remembered_behind_the_platforms_back(self) -> None:
        model = ScriptedModel(lambda _: text("ok"))
        async with model.serve() as url:
            agent = await self.make(url)
            one = task_for("secret of one", task_id="same", context_id="one")
            another = task_for("question of another", task_id="same", context_id="another")
            await (await agent.handle(one))
            await (await agent.handle(another))
            assert "secret of one" not in model.requests[1].text

    @behaviour("conversation")
    async def test_runs_at_once_do_not_mix(self) -> None:
        def echo(request: RecordedRequest) -> Turn:
            if request.tool_results:
                return text(f"for {request.last_user}: {request.tool_results[-1]}", delay=0.01)
            return tool_call("mine", {}, id=f"call-{uuid.uuid4().hex}", delay=0.01)

        async def one(agent: Agent, number: int) -> None:
            async def mine(**_: Any) -> str:
                await asyncio.sleep(0.02)
                return f"value-{number}"

            task = task_for(f"run-{number}", tools=[FakeTool("mine", mine)])
            outcome = await (await agent.handle(task))
            assert f"run-{number}" in outcome.text
            assert f"value-{number}" in outcome.text

        async with ScriptedModel(echo).serve() as url:
            agent = await self.make(url)
            await asyncio.gather(*(one(agent, number) for number in range(5)))

    @behaviour("conversation")
    async def test_a_conversation_goes_on_in_its_context_after_a_restart(self) -> None:
        model = ScriptedModel([text("Hello Ada."), text("You are Ada.")])
        async with model.serve() as url:
            first = task_for("My name is Ada.")
            outcome = await (await (await self.make(url)).handle(first))
            reply = agent_message([text_part(outcome.text)], context_id=first.context_id)
            said = [first.message, reply]
            second = task_for("What is my name?", history=said, context_id=first.context_id)
            events = await collect(await self.make(url), second)
            assert isinstance(events[-1], Completed)
            assert "My name is Ada." in model.requests[1].text
            assert "Hello Ada." in model.requests[1].text
            assert "What is my name?" in model.requests[1].last_user

    # Cancelling

    @behaviour("model's stream closed")
    async def test_cancelling_closes_the_stream_of_the_model(self) -> None:
        model = ScriptedModel([text("word " * 2000, delay=0.02)])
        async with model.serve() as url:
            agent = await self.make(url)
            running, seen = self._consume(agent, task_for("Talk"))
            await until(lambda: any(isinstance(e, TextDelta) for e in seen))
            await cancel(running)
            await until(lambda: model.requests[0].disconnected)
            assert not any(isinstance(e, Completed) for e in seen)

    @behaviour("model's stream closed")
    async def test_cancelling_ends_a_request_that_hangs(self) -> None:
        model = ScriptedModel([hang()])
        async with model.serve() as url:
            agent = await self.make(url)
            running, _ = self._consume(agent, task_for("Talk"))
            await until(lambda: bool(model.requests))
            await cancel(running)
            await until(lambda: model.requests[0].disconnected)

    @behaviour("cancelling")
    async def test_cancelling_reaches_the_tool(self) -> None:
        state: list[str] = []

        async def slow(**_: Any) -> None:
            state.append("begun")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                state.append("cancelled")
                raise

        model = ScriptedModel([tool_call("slow", {})])
        async with model.serve() as url:
            agent = await self.make(url)
            running, _ = self._consume(agent, task_for("?", tools=[FakeTool("slow", slow)]))
            await until(lambda: "begun" in state)
            await cancel(running)
            await until(lambda: "cancelled" in state)
            assert len(model.requests) == 1

    @behaviour("model's stream closed")
    async def test_leaving_the_stream_early_stops_the_work(self) -> None:
        model = ScriptedModel([text("word " * 2000, delay=0.02)])
        async with model.serve() as url:
            agent = await self.make(url)
            events = aiter(await agent.handle(task_for("Talk")))
            while not isinstance(await anext(events), TextDelta):
                pass
            await events.aclose()  # type: ignore[attr-defined]
            await until(lambda: model.requests[0].disconnected)
