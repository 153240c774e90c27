"""What comes to be known while a goal is at work, and may change its plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codin.agent.events import AgentEvent, NewFacts
from codin.security import RunGrant
from codin.task.log._json import digest
from codin.task.log.base import EventLog
from codin.task.log.entries import Kind
from codin.task.projection import data_parts
from codin.task.step_jobs import Job
from codin.task.work import Run
from codin.tool.telling import Tell

FACTS = "facts"
"""The type of data in a goal's log that tells of something new: ``{"type": "facts", "id", "text",
"step", "agent"}``; without a step, its user says it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something new, and the job whose agent told it; or without one, the user."""

    id: str
    text: str
    step: str = ""
    agent: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """It as data in the goal's log."""
        by = {"step": self.step, "agent": self.agent} if self.step else {}
        return {"type": FACTS, "id": self.id, "text": self.text, **by}

    def __str__(self) -> str:
        return f"{self.agent} in step {self.step!r}: {self.text}" if self.step else self.text


def fact_of(told: Mapping[str, Any]) -> Fact:
    """The other way round."""
    return Fact(**{name: str(told.get(name, "")) for name in ("id", "text", "step", "agent")})


class GoalFacts:
    """What has come to be known in the goal of ``run``: ``known`` so far, of which the plan heeds
    those of the ids ``heeded``."""

    def __init__(
        self, run: Run, log: EventLog, known: Iterable[Fact] = (), heeded: Iterable[str] = ()
    ) -> None:
        self._run = run
        self._log = log
        self._known = {fact.id: fact for fact in known}
        self._heeded = set(heeded)

    @property
    def new(self) -> Sequence[Fact]:
        """Those that the plan was not made with."""
        return [fact for fact in self._known.values() if fact.id not in self._heeded]

    @property
    def said(self) -> Sequence[str]:
        """What the user has said since the goal was taken."""
        return [fact.text for fact in self._known.values() if not fact.step]

    def heed(self, facts: Iterable[Fact]) -> None:
        """The plan was made with these, or was kept all the same."""
        self._heeded.update(fact.id for fact in facts)

    async def tell(self, job: Job, child_id: str, text: str) -> None:
        """The agent of a job tells something, in the task ``child_id``; that it tells it again is
        nothing new."""
        fact = Fact(digest(child_id, text)[:32], text, job.id, job.step.agent)
        if fact.id not in self._known:
            self._known[fact.id] = fact
            await self._run.say(fact.told)

    async def look(self, job: Job, child_id: str) -> None:
        """Take what the agent of a job has told that nobody heard, as the goal's process ended."""
        after = 0
        kinds: tuple[Kind, ...] = ("status",)
        principal = self._run.principal
        while events := await self._log.read(principal, child_id, after, kinds=kinds):
            after = events[-1].seq
            for told in (one for event in events for one in _told(event.body)):
                await self.tell(job, child_id, told)


def telling(emit: Callable[[RunGrant, AgentEvent], Awaitable[None]]) -> Tell:
    """What is behind the tool that tells new facts: they are said in the run, by ``emit``."""

    async def tell(grant: RunGrant, text: str) -> None:
        await emit(grant, NewFacts(text=text))

    return tell


def _told(body: Mapping[str, Any]) -> Iterable[str]:
    kind = NewFacts.model_fields["kind"].default
    parts = body.get("status", {}).get("message", {}).get("parts", ())
    if not any(isinstance(d := p.get("data"), dict) and d.get("type") == kind for p in parts):
        return ()
    return [str(told["text"]) for told in data_parts(body) if told.get("type") == kind]
