"""What an agent says: text, thoughts, what it used, and what went wrong."""

from __future__ import annotations

from dataclasses import replace

from codin.agent.events import END_EVENTS, Completed, Failed, TextDelta, TextFinal, Thought, Usage
from codin.testing._agent_base import AgentSuite, behaviour, collect, of
from codin.testing.agent_fakes import adding_tool, task_for
from codin.testing.scripted_model import (
    ScriptedModel,
    Turn,
    cut,
    error,
    nonsense,
    text,
    thought,
    tool_call,
)


class TextSuite(AgentSuite):
    """What it says."""

    @behaviour("text")
    async def test_streams_its_text_and_ends_with_the_whole(self) -> None:
        said = "The answer is forty-two, and nothing else."
        async with self._run([text(said)], task_for("What is it?")) as (events, model):
            deltas = of(events, TextDelta)
            assert len(deltas) > 1
            assert "".join(delta.text for delta in deltas) == said
            assert of(events, TextFinal)[-1].text == said
            assert {d.message_id for d in deltas} == {of(events, TextFinal)[-1].message_id}
            assert isinstance(events[-1], Completed)
            assert "What is it?" in model.requests[0].last_user

    @behaviour("text")
    async def test_can_be_awaited_for_its_outcome(self) -> None:
        script = [text("Let me add. ") + tool_call("add", {"a": 1, "b": 2}), text("It is 3.")]
        async with ScriptedModel(script).serve() as url:
            agent = await self.make(url)
            outcome = await (await agent.handle(task_for("1+2?", tools=[adding_tool()])))
            assert outcome.ok
            assert outcome.text == "It is 3."

    @behaviour("text")
    async def test_text_keeps_every_character(self) -> None:
        said = "Zürich → 東京 \u2028 <b>&amp;</b> \N{PARTY POPPER} \x0b tab\tend"
        async with self._run([text(said)], task_for("Say it")) as (events, _):
            assert of(events, TextFinal)[-1].text == said

    @behaviour("text")
    async def test_ends_once(self) -> None:
        async with self._run([text("Yes.")], task_for("?")) as (events, _):
            assert [e for e in events if isinstance(e, END_EVENTS)] == [events[-1]]

    @behaviour("usage")
    async def test_tells_what_it_used(self) -> None:
        turn = Turn(text="Yes.", usage=(11, 7))
        async with self._run([turn], task_for("?")) as (events, _):
            used = [(u.input_tokens, u.output_tokens) for u in of(events, Usage)]
            assert used == [(11, 7)]

    @behaviour("usage")
    async def test_what_each_request_used_is_told_once(self) -> None:
        asks = replace(tool_call("add", {"a": 1, "b": 2}), usage=(11, 7))
        script = [asks, Turn(text="It is 3.", usage=(20, 5))]
        async with self._run(script, task_for("1+2?", tools=[adding_tool()])) as (events, _):
            used = of(events, Usage)
            assert sum(one.input_tokens for one in used) == 31
            assert sum(one.output_tokens for one in used) == 12

    @behaviour("text")
    async def test_an_empty_answer_is_an_answer(self) -> None:
        async with self._run([text("")], task_for("?")) as (events, _):
            assert isinstance(events[-1], Completed | Failed)

    @behaviour("thoughts")
    async def test_tells_its_thoughts_apart_from_its_text(self) -> None:
        script = [thought("First I look at it. Then I say it.") + text("It is so.")]
        async with self._run(script, task_for("?")) as (events, _):
            thoughts = "".join(t.text for t in of(events, Thought))
            assert thoughts == "First I look at it. Then I say it."
            assert "".join(d.text for d in of(events, TextDelta)) == "It is so."
            assert of(events, TextFinal)[-1].text == "It is so."
            assert isinstance(events[-1], Completed)

    # What goes wrong

    @behaviour("errors")
    async def test_an_error_of_the_model_is_told_once(self) -> None:
        broken = error(500, "the model broke")
        async with self._run(lambda _: broken, task_for("?")) as (events, _):
            (failed,) = [e for e in events if isinstance(e, END_EVENTS)]
            assert isinstance(failed, Failed)
            assert "the model broke" in failed.message

    @behaviour("errors")
    async def test_a_model_that_is_not_there_is_said_to_be(self) -> None:
        agent = await self.make("http://127.0.0.1:9/v1")
        events = await collect(agent, task_for("?"))
        assert isinstance(events[-1], Failed)
        assert "model" in events[-1].message

    @behaviour("errors")
    async def test_nonsense_of_the_model_fails_or_ends_the_run(self) -> None:
        async with self._run([nonsense()], task_for("?")) as (events, _):
            assert isinstance(events[-1], Failed | Completed)
            assert of(events, TextFinal) == []

    @behaviour("errors")
    async def test_a_stream_that_breaks_fails_the_run(self) -> None:
        long = "This sentence goes on for quite a while before it is cut."
        async with self._run([cut(long, after=3)], task_for("?")) as (events, _):
            assert isinstance(events[-1], Failed)
