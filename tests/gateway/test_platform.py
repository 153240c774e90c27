"""The platform put together: what it takes, and what it leaves out and says so."""

import asyncio
from pathlib import Path

import pytest
from a2a.types import SendMessageRequest

from codin.agent.a2a import user_message
from codin.config import AgentEntry, GoalSettings, Settings
from codin.errors import InvalidInputError
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.gateway.sending import send
from codin.model import parse
from codin.security import LOCAL_USER, Principal
from codin.task import LogEvent
from codin.task.errors import UnknownTask
from codin.task.goal import ORCHESTRATOR
from codin.task.log.follow import follow
from codin.task.states import STOPPED
from codin.task.transport import in_memory_client

pytestmark = pytest.mark.slow

ECHO = """
from codin import wrap

async def echo(text: str) -> str:
    return f"echo: {text}"

agent = wrap(echo, id="echo", description="Says it again.")
"""

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
"""One agent needs no planning, so that this model is never asked."""


def settings(home: Path, *entries: AgentEntry) -> Settings:
    return Settings(home=home / "home", agents=entries)


async def test_a_goal_goes_through_a_host_and_through_this_process(tmp_path: Path) -> None:
    file = tmp_path / "echo.py"
    file.write_text(ECHO)
    for isolation in ("host", "process"):
        entry = AgentEntry(source=str(file), isolation=isolation)
        async with open_platform(settings(tmp_path, entry), NO_MODEL) as platform:
            (info,) = platform.agents.infos(LOCAL_USER)
            assert (info.isolation, info.trusted) == (isolation, isolation == "process")
            task_id = await platform.submit(LOCAL_USER, "hello")
            events = [event async for event in follow(platform.log, LOCAL_USER, task_id)]
        assert events[-1].state == "TASK_STATE_COMPLETED"
        assert any("echo: hello" in str(event.body) for event in events)


ENDLESS = """
import asyncio, time
from codin import wrap

async def endless(text: str) -> str:
    while True:
        {loop}

agent = wrap(endless, id="endless", description="Never ends.")
"""


@pytest.mark.parametrize("loop", ["await asyncio.sleep(0)", "time.sleep(1)"])
async def test_one_that_loops_for_ever_has_its_time(tmp_path: Path, loop: str) -> None:
    """Also where it blocks the loop of its host; the next goal is done."""
    (tmp_path / "endless.py").write_text(ENDLESS.format(loop=loop))
    (tmp_path / "echo.py").write_text(ECHO)
    entries = [AgentEntry(source=str(tmp_path / name)) for name in ("endless.py", "echo.py")]
    limits = {"goal": GoalSettings(seconds=2.0)}
    own = settings(tmp_path, *entries).model_copy(update=limits)
    async with asyncio.timeout(60), open_platform(own, NO_MODEL) as platform:
        handler = platform.manager.agent_handler(LOCAL_USER, "endless")
        client = in_memory_client(handler, LOCAL_USER)
        request = SendMessageRequest(message=user_message("go on"))
        end = [response async for response in client.send_message(request)][-1]
        states = await platform.team.states()
    assert "took longer than the 2 s allowed" in str(end)
    assert states["echo"].status == "ready"


async def test_the_operators_word_goes_before_the_agents_own(tmp_path: Path) -> None:
    file = tmp_path / "echo.py"
    file.write_text(ECHO)
    entry = AgentEntry(source=str(file), id="parrot", description="Repeats.", tools=("read_file",))
    async with open_platform(settings(tmp_path, entry), NO_MODEL) as platform:
        (info,) = platform.agents.infos(LOCAL_USER)
    assert (info.id, info.description, info.tools) == ("parrot", "Repeats.", ("read_file",))


async def test_what_does_not_come_up_is_said_and_the_others_do(tmp_path: Path) -> None:
    good, broken = tmp_path / "echo.py", tmp_path / "broken.py"
    good.write_text(ECHO)
    broken.write_text("import nowhere_at_all\n")
    entries = [AgentEntry(source=str(path)) for path in (good, broken, tmp_path / "none.py", good)]
    async with open_platform(settings(tmp_path, *entries), NO_MODEL) as platform:
        assert [info.id for info in platform.agents.infos(LOCAL_USER)] == ["echo"]
        said = {problem.source: problem.message for problem in platform.problems}
    assert "nowhere_at_all" in said[str(broken)]
    assert "there is no agent file" in said[str(tmp_path / "none.py")]
    assert "the agent id 'echo' is taken by" in said[str(good)]


ASKER = """
from codin import wrap
from codin.agent.base import Task
from codin.agent.events import InputRequest

async def ask(task: Task):
    if task.state is None:
        return InputRequest(request_id="q", prompt="Which city?", state="asked")
    return f"{task.text} it is"

agent = wrap(ask, id="asker", description="Asks first.")
"""


async def stopped(platform: Platform, task_id: str) -> LogEvent:
    """The event with which the task stopped first."""
    seen = [event async for event in follow(platform.log, LOCAL_USER, task_id, until=STOPPED)]
    return seen[-1]


@pytest.mark.parametrize("asked", [ORCHESTRATOR, "asker"])
async def test_what_asks_is_answered_by_another_platform(tmp_path: Path, asked: str) -> None:
    (tmp_path / "asker.py").write_text(ASKER)
    (tmp_path / "echo.py").write_text(ECHO)
    entry = AgentEntry(source=str(tmp_path / "asker.py"), isolation="process")
    other = AgentEntry(source=str(tmp_path / "echo.py"), isolation="process")
    async with open_platform(settings(tmp_path, entry), NO_MODEL) as platform:
        if asked == ORCHESTRATOR:
            task_id = await platform.submit(LOCAL_USER, "where to?")
        else:
            handler = platform.manager.agent_handler(LOCAL_USER, asked)
            task_id = await send(handler, LOCAL_USER, user_message("where to?"))
        assert (await stopped(platform, task_id)).state == "TASK_STATE_INPUT_REQUIRED"
        with pytest.raises(InvalidInputError, match="the answer is empty"):
            await platform.answer(LOCAL_USER, task_id, " ")
        with pytest.raises(UnknownTask):
            await platform.answer(LOCAL_USER, "none", "Paris")
        with pytest.raises(UnknownTask):
            await platform.answer(Principal("local", "somebody else"), task_id, "Paris")
    async with open_platform(settings(tmp_path, other), NO_MODEL) as platform:
        with pytest.raises(InvalidInputError, match=f"task {task_id} goes on with asker, and no"):
            await platform.answer(LOCAL_USER, task_id, "Paris")
    async with open_platform(settings(tmp_path, entry), NO_MODEL) as platform:
        answers = [platform.answer(LOCAL_USER, task_id, city) for city in ("Paris", "Rome")]
        taken = await asyncio.gather(*answers, return_exceptions=True)
        assert {type(one) for one in taken} == {type(None), InvalidInputError}
        await platform.manager.runner.wait(task_id)
        events = await platform.log.read(LOCAL_USER, task_id, 0)
        assert events[-1].state == "TASK_STATE_COMPLETED"
        assert sum(f"{city} it is" in str(events) for city in ("Paris", "Rome")) == 1
        with pytest.raises(InvalidInputError, match="has ended"):
            await platform.answer(LOCAL_USER, task_id, "Paris")


async def test_an_empty_and_an_endless_goal_are_refused(tmp_path: Path) -> None:
    async with open_platform(settings(tmp_path), NO_MODEL) as platform:
        with pytest.raises(InvalidInputError, match="the goal is empty"):
            await platform.submit(LOCAL_USER, " \n")
        with pytest.raises(InvalidInputError, match="more than the 262,144 allowed"):
            await platform.submit(LOCAL_USER, "x" * 1_000_000)
        assert (await platform.log.tasks(LOCAL_USER)).total == 0
