"""What an agent is given and what it makes besides text: files, data, and the work of others."""

from __future__ import annotations

import base64
from dataclasses import replace

from a2a.types import Part

from codin.agent.a2a import data_part, user_message
from codin.agent.base import Task
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    Failed,
    HandOff,
    TextFinal,
)
from codin.testing._agent_base import AgentSuite, Scene, behaviour, collect, of
from codin.testing.agent_fakes import task_for
from codin.testing.scripted_model import ScriptedModel, text

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000"
    "907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef00"
    "00000049454e44ae426082"
)
"""A PNG of one pixel."""


class MakingSuite(AgentSuite):
    """Hand-offs, data, and files."""

    def handing_off(self) -> Scene:
        """An agent "front" that passes on to an agent "back", which says "It is 3."."""
        raise NotImplementedError

    def structuring(self) -> Scene:
        """An agent whose output has a schema; its model gives {"city": "Paris", "people": 2}."""
        raise NotImplementedError

    def making_files(self) -> Scene:
        """An agent that makes a file note.txt, of the five bytes "hello", by a tool of its own."""
        raise NotImplementedError

    @behaviour("hand-offs")
    async def test_tells_who_passes_on_to_whom(self) -> None:
        events = await self._played(self.handing_off(), "1+2?")
        assert [(e.from_agent, e.to_agent) for e in of(events, HandOff)] == [("front", "back")]
        assert of(events, TextFinal)[-1].text == "It is 3."

    @behaviour("data")
    async def test_structured_output_is_data(self) -> None:
        events = await self._played(self.structuring(), "Where?")
        made = [event.data for event in of(events, ArtifactProduced)]
        assert made == [{"city": "Paris", "people": 2}]

    @behaviour("data")
    async def test_data_in_the_message_reaches_the_model(self) -> None:
        task = _with(task_for("How many?"), data_part({"rows": 3}))
        async with self._run([text("ok")], task) as (_, model):
            assert "How many?" in model.requests[0].last_user
            assert '"rows": 3' in model.requests[0].last_user

    @behaviour("files out")
    async def test_files_that_it_makes_are_artifacts(self) -> None:
        events = await self._played(self.making_files(), "Write a note")
        (made,) = of(events, ArtifactProduced)
        assert (made.raw or (made.text or "").encode()) == b"hello"
        assert made.name == "note.txt"
        assert made.media_type.startswith("text/plain")

    @behaviour("files in")
    async def test_an_image_reaches_the_model(self) -> None:
        picture = Part(raw=PIXEL, media_type="image/png", filename="dot.png")
        task = _with(task_for("What is it?"), picture)
        async with self._run([text("A dot.")], task) as (events, model):
            assert isinstance(events[-1], Completed), events[-1]
            (url,) = model.requests[0].images
            assert url == "data:image/png;base64," + base64.b64encode(PIXEL).decode()
            assert "What is it?" in model.requests[0].text

    @behaviour("files in")
    async def test_a_file_of_text_reaches_the_model(self) -> None:
        table = Part(raw=b"a,b\n1,2\n", media_type="text/csv", filename="t.csv")
        async with self._run([text("ok")], _with(task_for("Sum it"), table)) as (_, model):
            assert "Sum it" in model.requests[0].text
            assert "t.csv" in model.requests[0].text
            assert "a,b\n1,2" in model.requests[0].text

    @behaviour("files in")
    async def test_a_file_that_it_cannot_read_is_named(self) -> None:
        archive = Part(raw=b"PK", media_type="application/zip", filename="all.zip")
        async with self._run([text("ok")], _with(task_for("Unpack"), archive)) as (events, model):
            assert isinstance(events[-1], Failed)
            assert "all.zip" in events[-1].message
            assert model.requests == []

    async def _played(self, scene: Scene, said: str) -> list[AgentEvent]:
        model = ScriptedModel(scene.script)
        async with model.serve() as url:
            events = await collect(await scene.agent(url), task_for(said))
        assert isinstance(events[-1], Completed), events[-1]
        assert model.pending == 0
        return events


def _with(task: Task, part: Part) -> Task:
    message = user_message(task.text, context_id=task.context_id, task_id=task.id, parts=[part])
    return replace(task, message=message)
