"""A goal: planned, its steps dispatched, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from codin.agent.base import AgentInfo
from codin.agent.events import Completed, EndEvent, Failed, InputRequest, TextFinal
from codin.agent.planning.plan import MAX_STEPS, Budget, Plan
from codin.agent.planning.planner import Planner
from codin.errors import CodinError
from codin.model.record import ModelRecord
from codin.security import Principal
from codin.task.budget import BudgetWatch
from codin.task.dispatch import Dispatcher, Handlers
from codin.task.errors import is_away
from codin.task.files import FilesBefore, GoalFiles
from codin.task.findings import answer, reached
from codin.task.goal_plans import GoalPlans
from codin.task.log.base import EventLog
from codin.task.log.rows import Lane, StepRow
from codin.task.new_facts import Fact, GoalFacts
from codin.task.plan_history import KEPT, PlanHistory, plan_history
from codin.task.plan_run import PlanRun, StepFailure, jobs_of
from codin.task.step_rows import StepRows
from codin.task.step_run import StepRun
from codin.task.work import DEFAULT_SECONDS, Run

ORCHESTRATOR = "orchestrator"


@dataclass(frozen=True, slots=True)
class GoalLimits:
    """What a goal may use: seconds in all, steps at a time, tries a step, steps and items of maps
    in all, and how often a plan is made anew."""

    seconds: float = DEFAULT_SECONDS
    parallel: int = 4
    attempts: int = 2
    max_steps: int = MAX_STEPS
    replans: int = 2


@dataclass(frozen=True, slots=True)
class GoalParts:
    """What goals are worked on with. ``agents`` are those that a principal may use; ``notes`` are
    said at the beginning of each goal, such as which model serves. ``reads_files``
    tells which agents look into files; ``record`` is that of the platform's models."""

    log: EventLog
    planner: Planner
    agents: Callable[[Principal], Sequence[AgentInfo]]
    handlers: Handlers
    files: GoalFiles
    limits: GoalLimits = GoalLimits()
    notes: Callable[[], Sequence[Mapping[str, Any]]] = lambda: ()
    reads_files: Callable[[AgentInfo], bool] = lambda _: False
    record: ModelRecord = field(default_factory=ModelRecord)


class GoalWork:
    """The orchestrator's work on a goal."""

    def __init__(self, parts: GoalParts) -> None:
        self._parts = parts
        self._plans = GoalPlans(parts.log, parts.planner, parts.files, parts.limits.max_steps)

    @property
    def id(self) -> str:
        return ORCHESTRATOR

    @property
    def seconds(self) -> float:
        return self._parts.limits.seconds

    @property
    def lane(self) -> Lane:
        return "goal"

    async def perform(self, run: Run) -> EndEvent:
        self._parts.record.open(run.task_id, keep=run.answered)  # what planning uses counts too
        try:
            return await self._perform(run)
        finally:
            self._parts.record.close(run.task_id)

    async def _perform(self, run: Run) -> EndEvent:
        for note in () if run.beginning.again else self._parts.notes():
            await run.say(note)
        rows = await self._parts.log.steps(run.principal, run.task_id)
        history = await plan_history(self._parts.log, run.principal, run.task_id, rows)
        work = self._work(run, rows, history)
        if history.plan is not None:
            steps = self._steps(work, history.plan)
            await self._go_on(steps, rows, history)
        else:
            known = work.facts.new
            steps = self._steps(work, await self._plans.plan(run, work, self._agents(run)))
            await steps.begin(steps.plan, **_heeding(known))
            work.facts.heed(known)
        try:
            return await self._within(steps.plan.budget, run, steps, history.mended)
        finally:
            if not steps.paused and not run.lost:
                await steps.close()

    def refusal(self, plan: Plan | None, mended: int) -> str:
        """Why nothing can be added to a goal that is done by ``plan``; empty when it can."""
        if not self._plans.heeds:
            return "its planner makes no plan anew by new facts: begin a new goal"
        most = self._parts.limits.replans
        left = (most if plan is None else self._plans.replans(plan, most)) - mended
        if left > 0:
            return ""
        return "its plan is not made anew (any more): change the plan itself, or begin a new goal"

    async def _run_plan(self, run: Run, steps: PlanRun, mended: int) -> EndEvent:
        left = self._plans.replans(steps.plan, self._parts.limits.replans) - mended
        facts = steps.steps.facts
        steps.halts = lambda: left > 0 and self._plans.heeds and bool(facts.new)
        failed = await steps.execute(finish=left > 0)
        while (failed and left > 0) or (steps.halts() and not steps.paused):
            if failed:
                if not await self._mend(run, steps, failed, facts.new):
                    break
            else:
                await self._heed(run, steps, facts.new)
            left -= 1
            failed = await steps.execute(finish=left > 0)
        if not steps.paused:
            await self._leave(steps, facts.new)
        if failed:
            await self._tell_files(run)
            return Failed(error_type="StepFailed", message=str(failed))
        if steps.paused:
            return _question(steps.plan, steps.paused)
        text = (
            answer(steps.plan, steps.outputs, steps.steps.readers)
            or "The steps are done; none of them said anything."
        )
        await self._tell_files(run)
        await run.emit(TextFinal(message_id="answer", text=text))
        return Completed()

    async def _mend(
        self, run: Run, steps: PlanRun, failed: StepFailure, facts: Sequence[Fact]
    ) -> bool:
        """Have the plan mended, with ``facts`` that may be why the step failed; whether it was."""
        because: dict[str, Any] = failed.told
        if facts:
            known = [str(fact) for fact in facts]
            because["facts"] = known
            failed = replace(failed, reason="\n".join([failed.reason, "Known since:", *known]))
        agents = self._agents(run)
        new = await self._plans.mended(run, steps.steps, agents, steps.plan, failed)
        if new is None:
            return False
        await steps.begin(new, because=because, **_heeding(facts))
        steps.steps.facts.heed(facts)
        return True

    async def _heed(self, run: Run, steps: PlanRun, facts: Sequence[Fact]) -> None:
        """Have the plan made anew with ``facts``, or say why it stays."""
        because = {"because": {"facts": [str(fact) for fact in facts]}, **_heeding(facts)}
        try:
            new = await self._plans.revised(run, steps, self._agents(run), facts)
        except CodinError as error:
            if is_away(error):
                raise
            await run.say({"type": KEPT, "error": str(error), **because})
        else:
            await steps.begin(new, **because)
        steps.steps.facts.heed(facts)

    async def _leave(self, steps: PlanRun, facts: Sequence[Fact]) -> None:
        """Say of ``facts`` that they change nothing."""
        if facts:
            error = "the plan is not made anew (any more)"
            told = {"type": KEPT, "error": error, "facts": [str(fact) for fact in facts]}
            await steps.steps.run.say({**told, **_heeding(facts)})
            steps.steps.facts.heed(facts)

    async def _within(
        self, budget: Budget | None, run: Run, steps: PlanRun, mended: int
    ) -> EndEvent:
        """Run the plan until its end, or until more than ``budget`` is used: then what was reached
        is the answer."""
        if budget is None:
            return await self._run_plan(run, steps, mended)
        watch = BudgetWatch(self._parts.log, run, budget, steps.steps.rows)
        steps.steps.allow = watch.allow
        watching = asyncio.create_task(watch.used_up())
        working = asyncio.create_task(self._run_plan(run, steps, mended))
        try:
            await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            used_up = watching.result()
        except Exception as error:
            run.broken_by(error)  # before what runs is canceled
            raise
        finally:
            watching.cancel()
            working.cancel()
            await asyncio.wait({watching, working})
        await self._tell_files(run)
        await run.emit(TextFinal(message_id="answer", text=reached(steps.plan, steps.outputs)))
        return Failed(error_type="BudgetExceeded", message=used_up)

    def _work(self, run: Run, rows: Sequence[StepRow], history: PlanHistory) -> StepRun:
        return StepRun(
            run,
            Dispatcher(run, self._parts.handlers),
            self._parts.files,
            StepRows(run, rows),
            GoalFacts(run, self._parts.log, history.facts, history.heeded),
            readers=[info.id for info in self._agents(run) if self._parts.reads_files(info)],
            attempts=self._parts.limits.attempts,
            before={job: FilesBefore(newest) for job, newest in history.newest.items()},
        )

    def _steps(self, work: StepRun, plan: Plan) -> PlanRun:
        return PlanRun(work, plan, self._parts.limits.parallel, self._parts.limits.max_steps)

    async def _go_on(self, steps: PlanRun, rows: Sequence[StepRow], history: PlanHistory) -> None:
        """Take up a goal whose process has ended, or that waited for an answer: the first step that
        asked gets it."""
        steps.skip(row.step_id for row in rows if row.state == "skipped")
        for job, row in jobs_of(steps.plan, rows):
            if row.child_id is not None:
                attempt = await steps.steps.dispatcher.look(job.named, row.child_id)
                await steps.take_up(job, attempt, history.made.get(job.id, ()))
        if steps.paused and steps.steps.run.beginning.turn > 1:
            steps.answer(next(iter(steps.paused)), steps.steps.run.message)

    def _agents(self, run: Run) -> Sequence[AgentInfo]:
        return self._parts.agents(run.principal)

    async def _tell_files(self, run: Run) -> None:
        async for artifact in self._parts.files.artifacts(run.principal, run.goal_id):
            await run.emit(artifact)


def _heeding(facts: Sequence[Fact]) -> dict[str, Any]:
    return {"heeds": [fact.id for fact in facts]} if facts else {}


def _question(plan: Plan, paused: Mapping[str, InputRequest]) -> InputRequest:
    """What the first of ``plan``'s steps that wait for an answer asks."""
    places = {step.id: place for place, step in enumerate(plan.steps)}
    job_id = min(paused, key=lambda one: places[one.partition(".")[0]])
    asked = paused[job_id]
    agent = plan.steps[places[job_id.partition(".")[0]]].agent
    return asked.model_copy(update={"prompt": f"{agent} asks: {asked.prompt}"})
