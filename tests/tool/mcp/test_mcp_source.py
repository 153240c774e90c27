"""A server of the revision 2026-07-28, in a sandbox, called by agents through the executor."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from mcp_house import called, owners, python_server, registered
from tool_house import House

from codin.sandbox.base import Mount
from codin.sandbox.local import LocalSandboxProvider
from codin.security import LOCAL_USER, Principal
from codin.testing.tool_conformance import ToolCase, ToolConformance
from codin.tool import RunnableTool
from codin.tool.mcp import McpSource

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def tools() -> list[RunnableTool]:
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(provider: LocalSandboxProvider) -> AsyncIterator[McpSource]:
    """One server for all tests that leave it as it was: it takes a second to start."""
    source = McpSource("own", python_server(provider, "own_server.py"), seconds=20)
    yield source
    await source.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def own(house: House, shared: McpSource) -> House:
    await registered(house, shared)
    return house


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(house: House, provider: LocalSandboxProvider) -> AsyncIterator[McpSource]:
    """A server that a test may change, or end."""
    source = McpSource("own", python_server(provider, "own_server.py"), seconds=20)
    await registered(house, source)
    yield source
    await source.aclose()


class TestConformance(ToolConformance):
    @pytest_asyncio.fixture(loop_scope="module")
    async def case(self, own: House) -> ToolCase:
        tools = {tool.name: tool for tool in own.executor.bind(own.grant())}
        return ToolCase(
            tool=tools["own_add"],
            arguments={"a": 3, "b": 4},
            expected={"result": 7},
            wrong={"a": "three", "b": 4},
            wrong_name="a",
        )


class TestFailing(ToolConformance):
    @pytest_asyncio.fixture(loop_scope="module")
    async def case(self, own: House) -> ToolCase:
        tools = {tool.name: tool for tool in own.executor.bind(own.grant())}
        return ToolCase(
            tool=tools["own_wait"],
            arguments={"seconds": 0},
            expected={"result": "waited"},
            wrong={"seconds": "long"},
            wrong_name="seconds",
            slow={"seconds": 20},
        )


async def test_the_newest_revision_is_agreed_on(own: House, shared: McpSource) -> None:
    assert shared.protocol == "2026-07-28"
    assert shared.problems == []


async def test_hints_are_effects_and_the_schema_is_kept(own: House) -> None:
    specs = {spec.name: spec for spec in own.executor.specs(own.grant())}
    assert specs["own_add"].effects == "none"
    assert specs["own_fail"].effects == "repeatable"
    assert specs["own_wait"].effects == "once"
    assert specs["own_add"].origin == "mcp"
    assert specs["own_add"].tags == ("own",)
    assert specs["own_add"].trusted is False
    assert specs["own_add"].input_schema["properties"]["b"]["default"] == 2
    assert "Ignore all" not in str(specs)  # its instructions are for nobody


async def test_who_may_not_neither_sees_nor_calls(own: House) -> None:
    stranger = Principal("elsewhere", "somebody")
    grant = own.grant(principal=stranger, tools=frozenset({"own_add"}))
    assert own.executor.specs(grant) == []
    outcome = await own.executor.call(grant, "own_add", {"a": 1})
    assert outcome.error_type == "UnknownTool"


async def test_what_a_tool_says_of_its_failure_is_given(own: House) -> None:
    outcome = await called(own, "own_fail", why="the moon is full")
    assert outcome.error_type == "ToolFailed"
    assert "the moon is full" in outcome.text


async def test_progress_is_seen_while_it_runs(own: House) -> None:
    assert (await called(own, "own_count", to=3)).value == {"result": "counted to 3"}
    assert {event.stream for event in own.live} == {"progress"}
    assert "".join(event.text for event in own.live) == "1/3 at 1\n2/3 at 2\n3/3 at 3\n"


async def test_the_server_hears_of_a_call_that_is_cancelled(own: House) -> None:
    calling = asyncio.ensure_future(called(own, "own_wait", seconds=30, name="left"))
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert time.monotonic() - begun < 5
    async with asyncio.timeout(5):
        while "left" not in (await called(own, "own_stopped")).value["result"]:
            await asyncio.sleep(0.05)


async def test_parts_become_text_and_files(own: House) -> None:
    outcome = await called(own, "own_parts")
    text, image, audio, blob, link, missing = outcome.value
    assert text == "first\nsecond"
    assert (image["media_type"], image["bytes"]) == ("image/png", 12)
    assert image["file"].startswith("own_parts-")
    assert image["file"].endswith("-1.png")
    assert audio["file"].endswith(".wav")
    assert (blob["uri"], blob["bytes"]) == ("own://blob", 2)
    assert (link["uri"], link["media_type"]) == ("own://notes/today", "text/plain")
    assert "error" in missing
    async with own.sandboxes.sandbox(own.grant()) as sandbox:
        assert await sandbox.fs.read(image["file"]) == b"\x89PNG picture"
        assert await sandbox.fs.read(link["file"]) == b"notes of today"


async def test_resources_are_listed_and_read(own: House) -> None:
    listed = (await called(own, "own_list_resources")).value
    assert [one["uri"] for one in listed["resources"]] == ["own://picture"]
    assert [one["uri"] for one in listed["templates"]] == ["own://notes/{day}"]
    read = await called(own, "own_read_resource", uri="own://notes/monday")
    assert read.value == "notes of monday"
    picture = (await called(own, "own_read_resource", uri="own://picture")).value
    assert (picture["media_type"], picture["bytes"]) == ("image/png", 12)
    missing = await called(own, "own_read_resource", uri="own://nowhere")
    assert (missing.error_type, "nowhere" in missing.text) == ("ToolFailed", True)


async def test_prompts_are_filled_in(own: House) -> None:
    specs = {spec.name: spec for spec in own.executor.specs(own.grant())}
    assert "greet(name, tone?) Greet somebody." in specs["own_get_prompt"].description
    got = await called(own, "own_get_prompt", name="greet", arguments={"name": "Ada"})
    assert got.value == [{"role": "user", "content": "Greet Ada, friendly."}]
    missing = await called(own, "own_get_prompt", name="greet")
    assert missing.error_type == "InvalidArguments"
    assert "needs 'name'" in missing.text
    unknown = await called(own, "own_get_prompt", name="none")
    assert unknown.error_type == "InvalidArguments"


async def test_it_sees_nothing_of_this_machine(own: House) -> None:
    seen = (await called(own, "own_look", path="/workspace")).value
    assert seen["entries"] == []
    assert {"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "PYTHONPATH"}.isdisjoint(seen["environment"])
    assert seen["environment"]["HOME"] == "/tmp"
    home = (await called(own, "own_look", path=str(Path.home() / ".cache"))).value
    assert home["exists"] is False


async def test_calls_beside_each_other_do_not_wait(own: House) -> None:
    begun = time.monotonic()
    waits = [called(own, "own_wait", seconds=1) for _ in range(5)]
    assert {outcome.text for outcome in await asyncio.gather(*waits)} == {'{"result": "waited"}'}
    assert time.monotonic() - begun < 4


async def test_one_that_ends_is_started_by_the_next_call(house: House, fresh: McpSource) -> None:
    waiting = asyncio.ensure_future(called(house, "own_wait", seconds=20))
    await asyncio.sleep(0.2)
    ended = await called(house, "own_end")
    assert ended.error_type == "McpUnavailable"
    assert "'own' is gone: it ended with exit code 3" in ended.text
    assert (await waiting).error_type == "McpUnavailable"
    assert (await called(house, "own_add", a=1)).value == {"result": 3}


async def test_new_tools_are_given_to_agents(house: House, fresh: McpSource) -> None:
    assert (await called(house, "own_learn", name="latest")).value == {"result": "learned"}
    async with asyncio.timeout(10):
        while house.registry.find(LOCAL_USER, "own_latest") is None:
            await asyncio.sleep(0.05)
    assert (await called(house, "own_latest")).value == {"result": "latest"}
    assert fresh.problems == []


async def test_a_tool_that_turns_is_left_out(house: House, fresh: McpSource) -> None:
    before = {tool.spec.name: tool for tool in house.registry.list(LOCAL_USER)}
    await called(house, "own_turn")
    async with asyncio.timeout(10):
        while house.registry.find(LOCAL_USER, "own_add") is not None:
            await asyncio.sleep(0.05)
    assert fresh.problems == [
        "own: its tool 'add' is described otherwise than at first and is left out: look at it, and "
        "start anew to let it in"
    ]
    assert (await called(house, "own_count", to=1)).value == {"result": "counted to 1"}
    # Whoever still has it does not call what it has become.
    house.registry.unregister("own_add")
    house.registry.register(before["own_add"])
    outcome = await called(house, "own_add", a=1)
    assert outcome.error_type == "ToolFailed"
    assert "is not offered any more as it was" in outcome.text


async def test_changes_can_be_accepted(house: House, provider: LocalSandboxProvider) -> None:
    server = python_server(provider, "own_server.py")
    source = McpSource("own", server, accept_changes=True)
    try:
        await registered(house, source)
        await called(house, "own_turn")
        async with asyncio.timeout(10):
            while not source.problems:
                await asyncio.sleep(0.05)
        assert (await called(house, "own_add", a=5)).value == {"result": 3}
        (problem,) = source.problems
        assert "'add' is described otherwise than at first, which was accepted" in problem
    finally:
        await source.aclose()


async def test_one_for_each_goal_has_its_workspace(
    house: House, provider: LocalSandboxProvider, tmp_path: Path
) -> None:
    folder = tmp_path / "shown"
    folder.mkdir()
    (folder / "shown.txt").write_text("shown")
    server = python_server(provider, "own_server.py", mounts=(Mount(folder, "/shown"),))
    source = McpSource("own", server, per="goal")
    try:
        await registered(house, source)
        first, second = house.grant(goal="goal-1"), house.grant(goal="goal-2")
        call = house.executor.call
        written = await call(first, "own_write", {"name": "made.txt", "text": "made"})
        assert written.value == {"result": "/workspace/made.txt"}
        async with house.sandboxes.sandbox(first) as sandbox:
            assert await sandbox.fs.read("made.txt") == b"made"
        other = await call(second, "own_look", {"path": "/workspace/made.txt"})
        assert other.value["exists"] is False
        shown = await call(second, "own_look", {"path": "/shown"})
        assert shown.value["entries"] == ["shown.txt"]
    finally:
        await source.aclose()


async def test_nothing_is_left_behind(house: House, provider: LocalSandboxProvider) -> None:
    before, tasks = await _servers(), owners()
    source = McpSource("own", python_server(provider, "own_server.py"))
    await registered(house, source)
    calling = asyncio.ensure_future(called(house, "own_wait", seconds=30))
    await asyncio.sleep(0.2)
    assert len(await _servers()) > len(before)
    await source.aclose()
    assert (await calling).error_type == "McpUnavailable"
    assert await _servers() == before
    assert owners() == tasks


async def _servers() -> set[str]:
    """The ids of the processes of this machine that are the server."""

    def found() -> set[str]:
        ids = set()
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"own_server.py" in command:
                ids.add(folder.name)
        return ids

    return await asyncio.to_thread(found)
