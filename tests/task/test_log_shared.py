"""One log, several processes: who opens and closes it takes nothing from the others, and any
gateway serves any task."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from a2a.types import CancelTaskRequest, GetTaskRequest, SubscribeToTaskRequest, Task, TaskState

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal, ToolCall
from codin.security import LOCAL_USER, RunGrants
from codin.task import (
    AgentRequestHandler,
    AgentWork,
    EventLog,
    RunServices,
    SqliteEventLog,
    TaskRunner,
)
from codin.task.log.rows import NewTask
from codin.testing.log_conformance import submitted
from codin.testing.tasks import Events, SmallAgent, call_context, send_request

pytestmark = pytest.mark.slow

VISIT = """
import asyncio, sys
from codin.security import LOCAL_USER
from codin.task import SqliteEventLog

async def visit():
    log = await SqliteEventLog.open(sys.argv[1])
    print((await log.tasks(LOCAL_USER)).total)
    await log.close()

asyncio.run(visit())
"""


def visit(path: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", VISIT, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


async def test_a_visitor_leaves_the_log_to_who_works_in_it(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    log = await SqliteEventLog.open(path)
    try:
        for number in range(3):
            await log.create(
                LOCAL_USER,
                NewTask(f"t{number}", "c", "agent", f"t{number}", None),
                submitted(f"t{number}"),
                owner="me",
                ttl=60,
            )
            # Reading opens connections of its own, each time in another state of the file.
            assert (await log.tasks(LOCAL_USER)).total == number + 1
            assert visit(path) == number + 1
            assert Path(f"{path}-wal").exists()
        assert [event.seq for event in await log.read(LOCAL_USER, "t0")] == [1]
    finally:
        await log.close()


async def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tasks.db"
    await (await SqliteEventLog.open(path)).close()
    assert path.stat().st_mode & 0o077 == 0


Gateway = Callable[[Events], AgentRequestHandler]


@pytest.fixture
async def gateways(
    open_log: Callable[[], Awaitable[EventLog]],
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways over one database: each with a log and a runner of its own."""
    async with AsyncExitStack() as stack:

        async def gateway() -> Gateway:
            log = await open_log()
            runner = TaskRunner(log, grace_seconds=0.5, pulse_seconds=0.1, lease_seconds=5.0)
            stack.push_async_callback(runner.aclose)

            def serve(events: Events) -> AgentRequestHandler:
                agent = SmallAgent(events)
                work = AgentWork(agent, agent.info, RunServices(grants=RunGrants(), seconds=30))
                return AgentRequestHandler(agent.id, lambda _: work, runner)

            return serve

        yield await gateway(), await gateway()


async def count(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    for number in range(20):
        await asyncio.sleep(0.02)
        yield ToolCall(call_id=str(number), name="t", arguments={"n": number})
    yield TextFinal(message_id="m", text="counted")


async def never(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    yield ToolCall(call_id="1", name="t", arguments={})
    await asyncio.sleep(60)


async def ask(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    if task.text == "blue":
        yield TextFinal(message_id="m", text="painted blue")
    else:
        yield InputRequest(request_id="r", prompt="which colour?")


async def test_a_stream_is_the_same_at_another_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    one, two = (gateway(count) for gateway in gateways)
    stream = one.on_message_send_stream(send_request(), call_context())
    first = await anext(stream)
    assert isinstance(first, Task)

    async def subscribe() -> list[object]:
        asked = SubscribeToTaskRequest(id=first.id)
        return [event async for event in two.on_subscribe_to_task(asked, call_context())]

    watching = asyncio.create_task(subscribe())
    mine = [event async for event in stream]
    snapshot, *theirs = await asyncio.wait_for(watching, 10)
    assert isinstance(snapshot, Task)
    assert len(theirs) > 15
    assert theirs == mine[-len(theirs) :]


async def test_a_task_is_canceled_from_another_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    one, two = (gateway(never) for gateway in gateways)
    stream = one.on_message_send_stream(send_request(), call_context())
    first = await anext(stream)
    assert isinstance(first, Task)
    task = await asyncio.wait_for(
        two.on_cancel_task(CancelTaskRequest(id=first.id), call_context()), 10
    )
    assert task.status.state == TaskState.TASK_STATE_CANCELED
    assert [event async for event in stream], "the stream of the first ends too"


async def test_a_question_is_answered_at_another_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    one, two = (gateway(ask) for gateway in gateways)
    asked = await one.on_message_send(send_request("paint"), call_context())
    assert isinstance(asked, Task)
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    answer = send_request("blue", task_id=asked.id)
    done = await two.on_message_send(answer, call_context())
    assert isinstance(done, Task)
    assert done.status.state == TaskState.TASK_STATE_COMPLETED
    again = await one.on_get_task(GetTaskRequest(id=asked.id), call_context())
    assert again == done


async def test_a_message_sent_to_both_gateways_makes_one_task(
    gateways: tuple[Gateway, Gateway],
) -> None:
    one, two = (gateway(ask) for gateway in gateways)
    request = send_request("paint")
    tasks = await asyncio.gather(
        *(handler.on_message_send(request, call_context()) for handler in (one, two) * 3)
    )
    assert len({task.id for task in tasks if isinstance(task, Task)}) == 1
