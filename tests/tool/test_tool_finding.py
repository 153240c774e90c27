"""Many tools for one agent: looked for, described and called, each within the grant."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from made_tools import Made
from tool_house import ListRecorder

from codin.gateway.host_api import host_api
from codin.runtime.local import LocalRuntime
from codin.sandbox.local import LocalSandboxProvider
from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer, RunGrant, RunGrants
from codin.tool import (
    BoundTool,
    ExecutorSettings,
    GoalSandboxes,
    InvalidArguments,
    ToolContext,
    ToolExecutor,
    ToolRegistry,
    UnknownTool,
    Workspaces,
    builtin_tools,
    tool,
)

ROLES = {**DEFAULT_ROLES, "reader": frozenset({"tool.call:hub_read_*", "tool.call:read_file"})}
READER = Principal("local", "ann", roles=frozenset({"reader"}))
THREE = ["call_tool", "describe_tool", "find_tools"]


@tool(name="hub_read_issue", trusted=True)
async def read_issue(number: int, context: ToolContext, full: bool = False) -> dict[str, object]:
    """Read an issue of the tracker.

    Args:
        number: which one
    """
    return {"number": number, "full": full, "task": context.task_id}


def many(count: int = 60) -> list[Made]:
    return [
        Made(
            name=f"hub_{verb}_{number}",
            description=f"{verb.title()} page {number} of the manual\nMore of it.",
            input_schema={
                "type": "object",
                "properties": {"language": {"type": "string"}, "page": {"type": "integer"}},
                "required": ["page"],
            },
            origin="openapi",
            trusted=True,
        )
        for number in range(count // 2)
        for verb in ("read", "write")
    ]


class Desk:
    """An executor over tools that need no sandbox."""

    def __init__(self, folder: Path, settings: ExecutorSettings | None = None) -> None:
        self.registry = ToolRegistry(RoleAuthorizer(ROLES), builtin_tools())
        assert self.registry.replace("hub", [*many(), read_issue]) == ()
        provider = LocalSandboxProvider()
        self.recorder = ListRecorder()
        self.executor = ToolExecutor(
            self.registry,
            runtime=LocalRuntime(provider),
            sandboxes=GoalSandboxes(provider, Workspaces(folder)),
            recorder=self.recorder,
            settings=settings,
        )

    async def call(self, run: RunGrant, name: str, /, **arguments: Any) -> Any:
        return (await self.executor.call(run, name, arguments)).unwrap()

    def shown(self, run: RunGrant) -> list[str]:
        names = [spec.name for spec in self.executor.specs(run)]
        assert [tool.name for tool in self.executor.bind(run)] == names
        return names


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def grant(*tools: str, principal: Principal = LOCAL_USER, left: float = 60) -> RunGrant:
    expires = time.time() + left
    return RunGrant("task-1", "g", "c", "a", principal, frozenset(tools), expires_at=expires)


def test_of_many_tools_those_of_sources_are_not_shown_one_by_one(desk: Desk) -> None:
    own = [tool.name for tool in builtin_tools()]
    assert desk.shown(grant("*")) == sorted([*own, *THREE])
    assert desk.shown(grant("hub_*")) == THREE
    find = next(spec for spec in desk.executor.specs(grant("*")) if spec.name == "find_tools")
    assert find.description.endswith("There are tools of: hub (61).")


def test_few_tools_are_shown_as_they_are(desk: Desk) -> None:
    assert len(desk.shown(grant("hub_read_*"))) == 31
    assert not set(desk.shown(grant("hub_read_*"))) & set(THREE)
    desk.registry.replace("hub", [])
    for number in range(50):
        desk.registry.register(Made(name=f"mine_{number}"))
    # Nobody else's: what the operator registered one by one is shown one by one.
    assert len(desk.shown(grant("mine_*"))) == 50


def test_how_many_are_many_is_a_setting(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ExecutorSettings(tools_shown=30))
    assert desk.shown(grant("hub_read_*")) == THREE


async def test_find_describe_and_call(desk: Desk) -> None:
    run = grant("*")
    found = await desk.call(run, "find_tools", query="read an issue")
    assert found[0] == {
        "name": "hub_read_issue",
        "description": "Read an issue of the tracker.",
        "arguments": "number, full?",
    }
    assert len(found) == 10
    assert len(await desk.call(run, "find_tools", query="read an issue", most=3)) == 3
    told = await desk.call(run, "describe_tool", name="hub_read_issue")
    assert told["arguments"] == read_issue.spec.input_schema
    assert told["call_tool"] == {"name": "hub_read_issue", "arguments": {"number": 1}}
    inner = {"name": "hub_read_issue", "arguments": {"number": "7"}}
    assert await desk.call(run, "call_tool", **inner) == {
        "number": 7,
        "full": False,
        "task": "task-1",
    }


async def test_a_call_is_recorded_as_what_it_calls(desk: Desk) -> None:
    run = grant("*")
    asked = json.dumps({"name": "hub_read_issue", "arguments": {"number": 7}})
    outcome = await desk.executor.call(run, "call_tool", asked, call_id="c1")
    assert (outcome.call_id, outcome.is_error) == ("c1", False)
    assert [(call.call_id, call.name, call.arguments) for call in desk.recorder.began] == [
        ("c1", "hub_read_issue", '{"number":7}')
    ]
    assert [(call.name, call.value) for call in desk.recorder.ended] == [
        ("hub_read_issue", outcome.value)
    ]


async def test_an_agents_proxies_find_and_call(desk: Desk) -> None:
    bound = {tool.name: tool for tool in desk.executor.bind(grant("*"))}
    assert isinstance(bound["call_tool"], BoundTool)
    found = await bound["find_tools"].invoke("write page 12")
    assert found[0]["name"] == "hub_write_12"
    assert await bound["call_tool"].invoke("hub_write_12", {"page": 3}) == {"page": 3}
    with pytest.raises(InvalidArguments, match="hub_write_12: argument 'page' is missing"):
        await bound["call_tool"].invoke("hub_write_12")


async def test_no_more_is_found_described_or_called_than_is_granted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ExecutorSettings(tools_shown=5))
    for run in (grant("hub_read_*"), grant("*", principal=READER)):
        assert "find_tools" in desk.shown(run)
        found = await desk.call(run, "find_tools", query="write page of the manual", most=25)
        names = {each["name"] for each in found}
        assert names
        assert all(name.startswith("hub_read_") for name in names)
        for name in ("hub_write_3", "run_python", "nothing"):
            with pytest.raises(UnknownTool, match=f"there is no tool '{name}'"):
                await desk.call(run, "describe_tool", name=name)
            with pytest.raises(UnknownTool, match=f"there is no tool '{name}'"):
                await desk.call(run, "call_tool", name=name, arguments={"page": 1})
        assert await desk.call(run, "call_tool", name="hub_read_3", arguments={"page": 1})


async def test_what_is_wrong_with_a_call_is_said_as_of_any_other(desk: Desk) -> None:
    run = grant("*")
    with pytest.raises(InvalidArguments, match="argument 'page' should be a whole number"):
        await desk.call(run, "call_tool", name="hub_read_3", arguments={"page": "x"})
    with pytest.raises(InvalidArguments, match="call_tool: argument 'name' is missing"):
        await desk.call(run, "call_tool", arguments={})
    for name in THREE:
        with pytest.raises(InvalidArguments, match=f"call {name} itself"):
            await desk.call(run, "call_tool", name=name, arguments={"name": "call_tool"})
    with pytest.raises(InvalidArguments, match="argument 'most'"):
        await desk.call(run, "find_tools", query="x", most=1000)
    kinds = [call.error_type for call in desk.recorder.ended]
    assert kinds == ["InvalidArguments"] * 6
    assert len(desk.recorder.began) == 6


async def test_a_name_that_is_not_there_is_not_answered_with_all_names(desk: Desk) -> None:
    outcome = await desk.executor.call(grant("hub_*"), "hub_raed_7", {})
    assert outcome.text == (
        "there is no tool 'hub_raed_7'. Did you mean 'hub_read_7'? Look for others with find_tools."
    )
    outcome = await desk.executor.call(grant("read_file", "hub_read_1"), "hub_raed_1", {})
    assert outcome.text == (
        "there is no tool 'hub_raed_1'. Did you mean 'hub_read_1'? "
        "The tools are: hub_read_1, read_file."
    )


async def test_nothing_that_fits_is_said_with_what_there_is(desk: Desk) -> None:
    told = await desk.call(grant("*"), "find_tools", query="zebra")
    assert told == "Nothing fits 'zebra'. Try other words. There are tools of: hub (61)."


async def test_who_has_no_tools_of_a_source_has_none_to_look_with(desk: Desk) -> None:
    for name in THREE:
        with pytest.raises(UnknownTool):
            await desk.call(grant("read_file"), name, name="read_file", query="x")


async def test_a_run_that_is_over_finds_nothing(desk: Desk) -> None:
    over = grant("*", left=-1)
    for name in THREE:
        outcome = await desk.executor.call(over, name, {"query": "x", "name": "hub_read_3"})
        assert outcome.error_type in {"RunEnded", "InvalidArguments"}
    outcome = await desk.executor.call(over, "call_tool", {"name": "hub_read_3"})
    assert outcome.error_type == "RunEnded"


async def test_a_run_that_was_given_the_three_keeps_them(desk: Desk) -> None:
    run = grant("hub_*")
    assert desk.shown(run) == THREE
    desk.registry.replace("hub", many(4))
    assert len(desk.shown(run)) == 4
    assert await desk.call(run, "call_tool", name="hub_read_1", arguments={"page": 2})
    assert (await desk.call(run, "find_tools", query="manual"))[0]["name"].startswith("hub_")


async def test_a_deprecated_tool_is_found_and_says_so(desk: Desk) -> None:
    old = Made(name="hub_old", description="Paint a fence", deprecated="use hub_new")
    desk.registry.replace("hub", [*many(), old])
    found = await desk.call(grant("*"), "find_tools", query="paint fence")
    assert found[0]["description"] == "Deprecated: use hub_new Paint a fence"


async def test_agents_in_hosts_get_the_same(desk: Desk) -> None:
    grants = RunGrants()
    run = grant("*")
    headers = {"authorization": f"Bearer {grants.issue(run)}"}
    transport = httpx.ASGITransport(host_api(grants, desk.executor))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://platform", headers=headers
    ) as platform:
        listed = (await platform.get("/run")).json()["tools"]
        assert [spec["name"] for spec in listed] == desk.shown(run)
        asked = {"arguments": {"name": "hub_read_issue", "arguments": {"number": 7}}}
        answer = (await platform.post("/tools/call_tool", json=asked)).json()
        assert answer["value"] == {"number": 7, "full": False, "task": "task-1"}
        asked = {"arguments": {"name": "ask_everybody"}}
        answer = (await platform.post("/tools/call_tool", json=asked)).json()
        assert answer["error_type"] == "UnknownTool"
    assert [call.name for call in desk.recorder.ended] == ["hub_read_issue", "ask_everybody"]
