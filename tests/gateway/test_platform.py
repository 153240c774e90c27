"""The platform put together: what it takes, and what it leaves out and says so."""

from pathlib import Path

import pytest

from codin.config import AgentEntry, Settings
from codin.errors import InvalidInputError
from codin.gateway.platform import open_platform
from codin.model import parse
from codin.security import LOCAL_USER
from codin.task.log.follow import follow

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
    assert "has the id 'echo' already" in said[str(good)]


async def test_an_empty_and_an_endless_goal_are_refused(tmp_path: Path) -> None:
    async with open_platform(settings(tmp_path), NO_MODEL) as platform:
        with pytest.raises(InvalidInputError, match="the goal is empty"):
            await platform.submit(LOCAL_USER, " \n")
        with pytest.raises(InvalidInputError, match="more than the 262,144 allowed"):
            await platform.submit(LOCAL_USER, "x" * 1_000_000)
        assert (await platform.log.tasks(LOCAL_USER)).total == 0
