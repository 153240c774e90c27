"""How an agent asks its human, and goes on with the answer."""

from __future__ import annotations

from codin.agent.base import Task
from codin.agent.events import AgentEvent, Completed, TextFinal
from codin.testing._agent_base import (
    AgentSuite,
    Scene,
    answering,
    asked,
    behaviour,
    collect,
    of,
)
from codin.testing.agent_fakes import task_for
from codin.testing.scripted_model import ScriptedModel

_TURNS = 4


class AskingSuite(AgentSuite):
    """Input and approval, in the framework's own way."""

    def asking(self) -> Scene:
        """An agent that asks its human for a city, and goes on with the answer: it says it, or its
        model reads it."""
        raise NotImplementedError

    def approving(self) -> Scene:
        """An agent whose model calls a tool of its own, ``wipe(disk)``, with "a" and, in the same
        turn, with "b". The tool needs approval; it adds ``disk`` to the scene's effects."""
        raise NotImplementedError

    @behaviour("input")
    async def test_asks_its_human_and_goes_on_with_the_answer(self) -> None:
        await self._asks(anew=False)

    @behaviour("restart")
    async def test_an_answer_is_taken_by_whoever_has_the_state(self) -> None:
        await self._asks(anew=True)

    @behaviour("input")
    async def test_two_that_ask_at_once_get_their_own_answers(self) -> None:
        scene = self.asking()
        assert not callable(scene.script)
        both = [turn for turn in scene.script for _ in range(2)]
        model = ScriptedModel(both)
        async with model.serve() as url:
            agent = await scene.agent(url)
            tasks = [task_for("Book a trip"), task_for("Book a trip")]
            requests = [asked(await collect(agent, task)) for task in tasks]
            for task, request, city in zip(tasks, requests, ("Paris", "Rome"), strict=True):
                events = await collect(agent, answering(task, request, city))
                assert isinstance(events[-1], Completed)
                last = model.requests[-1].text if model.requests else ""
                assert city in last + of(events, TextFinal)[-1].text

    @behaviour("approval")
    async def test_what_is_approved_is_done(self) -> None:
        scene, events = await self._wipes("yes")
        # Two calls of one turn may be made at once: their order is the framework's.
        assert sorted(scene.effects) == ["a", "b"]
        assert of(events, TextFinal)

    @behaviour("approval")
    async def test_what_is_not_approved_is_not_done_and_the_run_goes_on(self) -> None:
        scene, events = await self._wipes("no")
        assert scene.effects == []
        assert of(events, TextFinal)

    @behaviour("restart", "approval")
    async def test_an_approval_is_taken_by_whoever_has_the_state(self) -> None:
        scene, _ = await self._wipes("yes", anew=True)
        assert sorted(scene.effects) == ["a", "b"]

    async def _asks(self, *, anew: bool) -> None:
        scene = self.asking()
        model = ScriptedModel(scene.script)
        async with model.serve() as url:
            agent = await scene.agent(url)
            task = task_for("Book a trip")
            request = asked(await collect(agent, task))
            assert request.request_kind == "input"
            assert "city" in request.prompt.lower()
            assert request.state is not None
            agent = await scene.agent(url) if anew else agent
            events = await collect(agent, answering(task, request, "Paris"))
            assert isinstance(events[-1], Completed), events[-1]
            said = of(events, TextFinal)[-1].text
            read = model.requests[-1].text if model.requests else ""
            assert "Paris" in said + read
            assert model.pending == 0

    async def _wipes(self, said: str, *, anew: bool = False) -> tuple[Scene, list[AgentEvent]]:
        scene = self.approving()
        model = ScriptedModel(scene.script)
        async with model.serve() as url:
            agent = await scene.agent(url)
            task: Task = task_for("Wipe the disks a and b")
            events = await collect(agent, task)
            for _ in range(_TURNS):
                if isinstance(events[-1], Completed):
                    break
                request = asked(events)
                assert request.request_kind == "approval"
                assert "wipe" in request.prompt
                agent = await scene.agent(url) if anew else agent
                task = answering(task, request, said)
                events = await collect(agent, task)
            assert isinstance(events[-1], Completed), events[-1]
            assert model.pending == 0
        return scene, events
