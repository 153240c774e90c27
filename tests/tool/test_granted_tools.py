"""What a grant names, and what of that its run may call."""

import time
from dataclasses import replace
from typing import Any

import pytest
from made_tools import Made

from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer, RunGrant
from codin.tool import RunEnded, ToolRegistry, UnknownTool
from codin.tool.finding.granted import GrantedTools, Wanted

ROLES = {**DEFAULT_ROLES, "reader": frozenset({"tool.call:hub_read_*", "tool.call:add"})}
READER = Principal("local", "ann", roles=frozenset({"reader"}))


@pytest.fixture
def registry() -> ToolRegistry:
    registry = ToolRegistry(RoleAuthorizer(ROLES))
    registry.register(Made(name="add", version="1"))
    registry.register(Made(name="add", version="2"))
    registry.register(Made(name="ask_writer", origin="agent"))
    names = ("hub_read_file", "hub_read_user", "hub_write_file")
    assert registry.replace("hub", [Made(name=name) for name in names]) == ()
    return registry


def grant(*tools: str, principal: Principal = LOCAL_USER, left: float = 60) -> RunGrant:
    expires = time.time() + left
    return RunGrant("t", "g", "c", "a", principal, frozenset(tools), expires_at=expires)


def names_of(granted: GrantedTools, run: RunGrant) -> list[str]:
    listed = granted.all(run)
    for name, tool in listed.items():
        assert granted.get(run, name) is tool
    return list(listed)


def test_a_pattern_grants_what_it_fits(registry: ToolRegistry) -> None:
    granted = GrantedTools(registry)
    run = grant("hub_read_*", "add")
    assert names_of(granted, run) == ["add", "hub_read_file", "hub_read_user"]
    for name in ("hub_write_file", "hub_read_nothing", "hub_read_*", "HUB_READ_FILE", "ask_writer"):
        with pytest.raises(UnknownTool):
            granted.get(run, name)
    assert names_of(granted, grant("hub_*_file", "nothing_*")) == [
        "hub_read_file",
        "hub_write_file",
    ]
    assert names_of(granted, grant()) == []


def test_a_pattern_grants_no_more_than_the_principal_may(registry: ToolRegistry) -> None:
    granted = GrantedTools(registry)
    run = grant("*", principal=READER)
    assert names_of(granted, run) == ["add", "hub_read_file", "hub_read_user"]
    with pytest.raises(UnknownTool) as forbidden:
        granted.get(run, "hub_write_file")
    with pytest.raises(UnknownTool) as absent:
        granted.get(run, "hub_wrote_file")
    told = str(forbidden.value).replace("hub_write_file", "NAME", 1)
    assert told == str(absent.value).replace("hub_wrote_file", "NAME", 1)


def test_an_agent_is_granted_by_name_alone(registry: ToolRegistry) -> None:
    granted = GrantedTools(registry)
    assert "ask_writer" not in names_of(granted, grant("*", "ask_*"))
    with pytest.raises(UnknownTool):
        granted.get(grant("*", "ask_*"), "ask_writer")
    assert names_of(granted, grant("ask_writer")) == ["ask_writer"]


@pytest.mark.parametrize(
    ("tools", "version"),
    [
        (["add"], "2"),
        (["a*"], "2"),
        (["add@1"], "1"),
        (["add@1.0", "add"], "1"),
        (["add@1", "add@2"], "2"),
        (["add@1", "*"], "1"),
    ],
)
def test_a_version_is_granted_by_name(
    registry: ToolRegistry, tools: list[str], version: str
) -> None:
    granted = GrantedTools(registry)
    run = grant(*tools)
    assert granted.all(run)["add"].spec.version == version
    assert granted.get(run, "add").spec.version == version
    with pytest.raises(UnknownTool):
        granted.get(run, f"add@{version}")


def test_a_version_that_is_gone_is_replaced_by_no_other(registry: ToolRegistry) -> None:
    granted = GrantedTools(registry)
    run = grant("add@1", "*")
    assert "add" in names_of(granted, run)
    registry.unregister("add@1")
    assert "add" not in names_of(granted, run)
    with pytest.raises(UnknownTool):
        granted.get(run, "add")


def test_what_comes_and_goes_is_seen_by_a_run_under_way(registry: ToolRegistry) -> None:
    granted = GrantedTools(registry)
    run = grant("hub_*")
    assert len(names_of(granted, run)) == 3
    registry.replace("hub", [Made(name="hub_new")])
    assert names_of(granted, run) == ["hub_new"]


def test_a_run_that_is_over_has_no_tools(registry: ToolRegistry) -> None:
    with pytest.raises(RunEnded, match="its tools are closed"):
        GrantedTools(registry).get(grant("*", left=-1), "add")


class Moody(RoleAuthorizer):
    """Forgets on request what it allows."""

    allowing = True

    def allows(self, principal: Principal, permission: str) -> bool:
        return self.allowing and super().allows(principal, permission)


def test_permission_is_asked_for_at_each_call(registry: ToolRegistry) -> None:
    authorizer = Moody(ROLES)
    registry = ToolRegistry(authorizer, [Made(name="add")])
    granted = GrantedTools(registry)
    run = grant("a*")
    assert granted.get(run, "add")
    assert list(granted.all(run)) == ["add"]
    authorizer.allowing = False
    with pytest.raises(UnknownTool):
        granted.get(run, "add")


def test_many_tools_are_granted_quickly() -> None:
    registry = ToolRegistry(RoleAuthorizer(ROLES))
    made: list[Any] = [Made(name=f"hub_list_{number}") for number in range(2000)]
    registry.replace("hub", made)
    granted = GrantedTools(registry)
    run = grant("hub_list_*", "add", "other_*", "more_?")
    granted.all(run)
    begun = time.process_time()
    for number in range(100):
        assert len(granted.all(run)) == 2000
        assert granted.get(run, f"hub_list_{number}")
    assert (time.process_time() - begun) / 100 < 0.002
    assert Wanted.of(run.tools).has("hub_list_5")
    assert not Wanted.of(run.tools).has("hub_get_5")


def test_a_cut_takes_away_and_gives_nothing(registry: ToolRegistry) -> None:
    granted = GrantedTools(registry)
    whole = grant("hub_read_*", "add@1")
    cut = replace(whole, only=frozenset({"add", "hub_read_file", "hub_write_file", "ask_writer"}))
    assert names_of(granted, whole) == ["add", "hub_read_file", "hub_read_user"]
    assert names_of(granted, cut) == ["add", "hub_read_file"]
    assert granted.get(cut, "add").spec.version == "1"
    for name in ("hub_read_user", "hub_write_file", "ask_writer"):
        with pytest.raises(UnknownTool):
            granted.get(cut, name)
    assert names_of(granted, replace(whole, only=frozenset())) == []
    everything = replace(grant("*"), only=frozenset({"*", "ask_writer"}))
    assert "ask_writer" not in names_of(granted, everything)
