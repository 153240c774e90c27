"""Goals whose plans are written down, done by agents of a few lines: for tests of how plans run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from a2a.types import GetTaskRequest, Task

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, ArtifactProduced, Failed, TextFinal
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import Planner, PlanRequest
from codin.agent.registry import AgentRegistry
from codin.model.record import ModelRecord
from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer, RunGrants
from codin.task import EventLog, RunServices, TaskRunner, data_parts
from codin.task.files import GoalFiles
from codin.task.goal import GoalLimits
from codin.task.log import LogEvent, StepRow
from codin.task.log.follow import follow
from codin.task.manager import TaskManager
from codin.testing.tasks import Events, SmallAgent, call_context, send_request


class Fixed(Planner):
    """Gives one plan; ``mended`` are those that it gives when a step has failed."""

    def __init__(self, plan: Plan) -> None:
        self.plan_ = plan

    async def plan(self, request: PlanRequest) -> Plan:
        return self.plan_


class Mending(Fixed):
    def __init__(self, plan: Plan, *mended: Plan) -> None:
        super().__init__(plan)
        self.mended = list(mended)
        self.failed: list[tuple[str, str]] = []

    async def repair(self, request: PlanRequest, plan: Plan, failed_step: Any, error: str) -> Plan:
        self.failed.append((failed_step.id, error))
        return self.mended.pop(0)


def plan_of(*steps: dict[str, Any], **around: Any) -> Plan:
    """A plan of ``steps``, which need no instruction."""
    made = [{"instruction": f"do {step['id']}", **step} for step in steps]
    return Plan.model_validate({"goal": "g", "steps": made, **around})


class Worker:
    """An agent that keeps what it is told, and gives what ``replies`` has for the step, each time
    the next: text, data, or an exception or event that ends it."""

    def __init__(self, **replies: Any) -> None:
        self.replies = {k: v if isinstance(v, list) else [v] for k, v in replies.items()}
        self.told: list[AgentTask] = []

    @property
    def steps(self) -> list[str]:
        return [step_told(task) for task in self.told]

    def values(self, step: str) -> list[dict[str, Any]]:
        """The inputs that it was told for ``step``, each time."""
        return [
            told.get("values", {})
            for told in map(inputs_told, self.told)
            if told.get("step") == step
        ]

    async def __call__(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        self.told.append(task)
        step = step_told(task)
        replies = self.replies.get(step, [f"{step} is done"])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if callable(reply):
            reply = reply(task)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            yield TextFinal(message_id="m", text=reply)
        elif isinstance(reply, dict | list):
            yield ArtifactProduced(artifact_id="data", data=reply)
        else:
            yield reply


def inputs_told(task: AgentTask) -> dict[str, Any]:
    """The data part with which the platform gives a step to its agent."""
    from codin.agent._parts import part_value

    found = [part_value(part) for part in task.message.parts if part.HasField("data")]
    return next((one for one in found if one.get("type") == "inputs"), {})


def step_told(task: AgentTask) -> str:
    return str(inputs_told(task).get("step", ""))


def house(
    runner: TaskRunner,
    planner: Planner,
    agents: dict[str, Events],
    *,
    services: RunServices | None = None,
    asked: Sequence[str] = (),
    record: ModelRecord | None = None,
    files: GoalFiles | None = None,
    **limits: Any,
) -> TaskManager:
    """A task manager with these agents, which ask for the tools ``asked``; ``record`` is that of
    the models, and ``files`` are those of goals."""
    registry = AgentRegistry(
        RoleAuthorizer(DEFAULT_ROLES),
        [
            SmallAgent(events, id=name, name=name, description=name, asked=tuple(asked))
            for name, events in agents.items()
        ],
    )
    given = services or RunServices(grants=RunGrants(), seconds=20.0)
    bounds = GoalLimits(**{"seconds": 20.0, **limits})
    return TaskManager(runner, registry, planner, given, limits=bounds, record=record, files=files)


def second_runner(log: EventLog) -> TaskRunner:
    """The runner of another process over the log, as it were."""
    return TaskRunner(log, grace_seconds=0.5, pulse_seconds=0.1, lease_seconds=5.0)


async def begin(manager: TaskManager, text: str = "the goal", **fields: Any) -> str:
    """Send a goal, and give the id of its task, which goes on."""
    request = send_request(text, **fields)
    request.configuration.return_immediately = True
    task = await manager.handler.on_message_send(request, call_context())
    assert isinstance(task, Task)
    return task.id


async def ended(manager: TaskManager, log: EventLog, task_id: str) -> Task:
    """The task of a goal, once that has ended."""
    async with asyncio.timeout(20):
        async for _ in follow(log, LOCAL_USER, task_id, poll=0.05):
            pass
    task = await manager.handler.on_get_task(GetTaskRequest(id=task_id), call_context())
    assert task is not None
    return task


async def reach(manager: TaskManager, text: str = "the goal", **fields: Any) -> Task:
    """Send a goal, and give its task once that has stopped."""
    task = await manager.handler.on_message_send(send_request(text, **fields), call_context())
    assert isinstance(task, Task)
    return task


def answer_of(task: Task) -> str:
    (found,) = [a for a in task.artifacts if a.artifact_id == "text-answer"]
    return "".join(part.text for part in found.parts)


def error_of(task: Task) -> str:
    return str(task.status.message.parts[0].text)


def error_type(task: Task) -> str:
    from codin.agent._parts import part_value

    return str(part_value(task.status.message.parts[1])["error_type"])


async def rows_of(log: EventLog, task: Task | str) -> dict[str, StepRow]:
    task_id = task if isinstance(task, str) else task.id
    return {row.step_id: row for row in await log.steps(LOCAL_USER, task_id)}


async def events_of(log: EventLog, task_id: str) -> list[LogEvent]:
    return await log.read(LOCAL_USER, task_id, 0, 100_000)


async def payloads(log: EventLog, task: Task, kind: str) -> list[dict[str, Any]]:
    """What the goal says of ``kind``, in order."""
    return [
        found
        for event in await events_of(log, task.id)
        if event.kind == "status"
        for found in data_parts(event.body)
        if found["type"] == kind
    ]


def failing(text: str, kind: str = "Broken") -> Failed:
    return Failed(error_type=kind, message=text)
