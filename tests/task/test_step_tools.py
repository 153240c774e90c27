"""A step may use some of its agent's tools: the cut stands at the grant of each of its runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from a2a.types import TaskState
from goal_house import Fixed, error_of, house, plan_of, reach, rows_of

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.security import LOCAL_USER, RunGrant, RunGrants
from codin.task import EventLog, RunServices, TaskRunner
from codin.testing.tasks import call_context, send_request

TOOLS = ("read_file", "write_*", "agent:writer")


class Grants:
    """An agent that keeps what its runs were granted, and asks once."""

    def __init__(self) -> None:
        self.grants = RunGrants()
        self.seen: list[RunGrant] = []
        self.services = RunServices(grants=self.grants, seconds=20.0)

    async def __call__(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        self.seen.append(self.grants.resolve(str(task.token)))
        if "yes" not in task.text:
            yield InputRequest(request_id="q", prompt="Go on?")
        yield TextFinal(message_id="m", text="done")


async def test_the_cut_is_in_every_grant_of_the_step_whoever_answers_it(
    runner: TaskRunner, log: EventLog
) -> None:
    agent = Grants()
    step = {"id": "s", "agent": "w", "tools": ["read_file", "write_here", "agent:writer"]}
    manager = house(
        runner, Fixed(plan_of(step)), {"w": agent}, services=agent.services, asked=TOOLS
    )
    asked = await reach(manager)
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    child_id = (await rows_of(log, asked))["s"].child_id
    # its own task is answered, by a message that knows nothing of the step
    request = send_request("yes", task_id=child_id)
    handler = manager.agent_handler(LOCAL_USER, "w")
    await handler.on_message_send(request, call_context())
    first, second = agent.seen
    assert first.only == second.only == {"read_file", "write_here", "ask_writer"}
    assert first.tools == {"read_file", "write_*", "ask_writer"}


async def test_a_step_that_names_none_has_all_and_one_that_names_nothing_none(
    runner: TaskRunner,
) -> None:
    for given, only in (({}, None), ({"tools": []}, frozenset())):
        agent = Grants()
        step = {"id": "s", "agent": "w", "instruction": "yes", **given}
        manager = house(
            runner, Fixed(plan_of(step)), {"w": agent}, services=agent.services, asked=TOOLS
        )
        assert (await reach(manager)).status.state == TaskState.TASK_STATE_COMPLETED
        assert [grant.only for grant in agent.seen] == [only]


async def test_a_step_cannot_name_what_its_agent_does_not_have(runner: TaskRunner) -> None:
    agent = Grants()
    step = {"id": "s", "agent": "w", "tools": ["write_x", "delete_file", "ask_writer"]}
    manager = house(
        runner, Fixed(plan_of(step)), {"w": agent}, services=agent.services, asked=TOOLS
    )
    task = await reach(manager)
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert "may use the tool 'delete_file', which 'w' does not have" in error_of(task)
    assert "may use the tool 'ask_writer'" in error_of(task)
    assert agent.seen == []
