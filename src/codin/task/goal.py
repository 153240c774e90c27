"""A goal: planned, its steps dispatched, and answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from codin.agent.base import AgentInfo
from codin.agent.events import Completed, EndEvent, Failed, InputRequest, TextFinal
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.errors import CodinError
from codin.security import Principal
from codin.task.dispatch import Dispatcher, Handlers
from codin.task.files import GoalFiles
from codin.task.findings import StepOutput, answer
from codin.task.log.base import EventLog, Kind, Lane
from codin.task.plan_run import PlanRun, StepFailure
from codin.task.projection import TaskProjection, data_parts
from codin.task.work import DEFAULT_SECONDS, Run

ORCHESTRATOR = "orchestrator"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GoalLimits:
    """What a goal may use: seconds in all, steps at a time, and tries a step."""

    seconds: float = DEFAULT_SECONDS
    parallel: int = 4
    attempts: int = 2


@runtime_checkable
class RepairingPlanner(Protocol):
    """A planner that can also mend a plan of which a step has failed."""

    async def repair(
        self, request: PlanRequest, plan: Plan, failed_step: Step, error: str
    ) -> Plan: ...


@dataclass(frozen=True, slots=True)
class GoalParts:
    """What goals are worked on with. ``agents`` are those that a principal may use; ``notes`` are
    said at the beginning of each goal, such as which model serves. ``reads_files``
    tells which agents look into files."""

    log: EventLog
    planner: Planner
    agents: Callable[[Principal], Sequence[AgentInfo]]
    handlers: Handlers
    files: GoalFiles
    limits: GoalLimits = GoalLimits()
    notes: Callable[[], Sequence[Mapping[str, Any]]] = lambda: ()
    reads_files: Callable[[AgentInfo], bool] = lambda _: False


class GoalWork:
    """The orchestrator's work on a goal."""

    def __init__(self, parts: GoalParts) -> None:
        self._parts = parts

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
        for note in () if run.beginning.again else self._parts.notes():
            await run.say(note)
        steps = PlanRun(
            run=run,
            dispatcher=Dispatcher(run, self._parts.handlers),
            files=self._parts.files,
            readers=[a.id for a in self._parts.agents(run.principal) if self._parts.reads_files(a)],
            parallel=self._parts.limits.parallel,
            attempts=self._parts.limits.attempts,
        )
        plan = await last_plan(self._parts.log, run.principal, run.task_id)
        if plan is not None:
            await self._go_on(steps, plan)
        else:
            plan = await self._plan(run)
            await steps.begin(plan)
        try:
            return await self._run_plan(steps, plan)
        finally:
            if not steps.paused and not run.lost:
                await steps.close()

    async def _run_plan(self, steps: PlanRun, plan: Plan) -> EndEvent:
        can_repair = isinstance(self._parts.planner, RepairingPlanner)
        failed = await steps.execute(plan, finish=can_repair)
        if failed and can_repair:
            mended = await self._repair(steps, plan, failed)
            if mended is not None:
                plan = mended
                await steps.begin(plan)
                failed = await steps.execute(plan, finish=False)
        if failed:
            await self._tell_files(steps.run)
            return Failed(error_type="StepFailed", message=str(failed))
        if steps.paused:
            return _question(plan, steps.paused)
        text = (
            answer(plan, steps.outputs, steps.readers)
            or "The steps are done; none of them said anything."
        )
        await self._tell_files(steps.run)
        await steps.run.emit(TextFinal(message_id="answer", text=text))
        return Completed()

    async def _plan(self, run: Run) -> Plan:
        request = await self._request(run)
        plan = await self._parts.planner.plan(request)
        plan.check([agent.id for agent in request.agents])
        return plan

    async def _request(self, run: Run) -> PlanRequest:
        return PlanRequest(
            goal=await self._words(run),
            agents=tuple(self._parts.agents(run.principal)),
            principal=run.principal,
            files=await self._parts.files.inputs(),
        )

    async def _repair(self, steps: PlanRun, plan: Plan, failed: StepFailure) -> Plan | None:
        """A mended plan, or ``None``: then the failure stands as it is."""
        planner = self._parts.planner
        assert isinstance(planner, RepairingPlanner)
        request = await self._request(steps.run)
        try:
            mended = await planner.repair(request, plan, failed.step, failed.reason)
            mended.check([agent.id for agent in request.agents])
        except CodinError as error:
            _log.info("the plan of task %s could not be mended: %s", steps.run.task_id, error)
            return None
        return mended

    async def _go_on(self, steps: PlanRun, plan: Plan) -> None:
        """Take up a goal whose process has ended, or that waited for an answer: the first step that
        asked gets it."""
        rows = await self._parts.log.steps(steps.run.principal, steps.run.task_id)
        steps.rows = {row.step_id: row for row in rows}
        answers = steps.run.beginning.turn > 1
        for step in plan.steps:
            child_id = steps.rows[step.id].child_id
            if child_id is None:
                continue
            attempt = await steps.dispatcher.look(step, child_id)
            if isinstance(attempt.end, Completed):
                steps.outputs[step.id] = StepOutput(attempt.text)
            elif isinstance(attempt.end, InputRequest) and answers and not steps.answers:
                steps.answers[step.id] = steps.run.message
            elif isinstance(attempt.end, InputRequest):
                steps.paused[step.id] = attempt.end

    async def _words(self, run: Run) -> str:
        """The goal in words; in a run that goes on, the message is an answer and not the goal."""
        first = await self._parts.log.read(run.principal, run.task_id, 0, 1)
        parts = TaskProjection(first).task().history[0].parts
        return "\n".join(part.text for part in parts if part.HasField("text"))

    async def _tell_files(self, run: Run) -> None:
        async for artifact in self._parts.files.artifacts(run.principal, run.goal_id):
            await run.emit(artifact)


async def last_plan(log: EventLog, principal: Principal, task_id: str) -> Plan | None:
    """The plan of a goal as it was told last."""
    plan: Plan | None = None
    kinds: tuple[Kind, ...] = ("status",)
    after = 0
    while events := await log.read(principal, task_id, after, kinds=kinds):
        for event in events:
            for told in data_parts(event.body):
                if told.get("type") == "plan":
                    plan = Plan.model_validate(told["plan"])
        after = events[-1].seq
    return plan


def _question(plan: Plan, paused: Mapping[str, InputRequest]) -> InputRequest:
    step = next(step for step in plan.steps if step.id in paused)
    asked = paused[step.id]
    return asked.model_copy(update={"prompt": f"{step.agent} asks: {asked.prompt}"})
