"""One registry, with unique names, shown by permission."""

import re
import time
from typing import Any

import pytest
import sample_tools
from made_tools import Made

from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer
from codin.tool import (
    FunctionTool,
    ToolClash,
    ToolDefinitionError,
    ToolRegistry,
    ToolSpec,
    UnknownTool,
    builtin_tools,
)
from codin.tool import registry as registry_module

ROLES = {**DEFAULT_ROLES, "adder": frozenset({"tool.call:add"})}
ADDER = Principal("local", "ann", roles=frozenset({"adder"}))


@pytest.fixture
def registry() -> ToolRegistry:
    return ToolRegistry(RoleAuthorizer(ROLES), [sample_tools.add, *builtin_tools()])


def test_a_principal_sees_what_it_may_call(registry: ToolRegistry) -> None:
    assert [tool.name for tool in registry.list(ADDER)] == ["add"]
    assert [tool.name for tool in registry.list(LOCAL_USER)] == [
        "add",
        "describe_data",
        "list_files",
        "read_file",
        "run_python",
        "run_shell",
        "write_file",
    ]
    assert registry.list(Principal("local", "nobody")) == []
    assert registry.get(ADDER, "add") is sample_tools.add


def test_forbidden_looks_like_unknown(registry: ToolRegistry) -> None:
    told = set()
    for name in ("run_python", "nothing_at_all"):
        with pytest.raises(UnknownTool) as caught:
            registry.get(ADDER, name)
        told.add(str(caught.value).replace(name, "NAME"))
    assert told == {"there is no tool 'NAME'. The tools are: add."}
    with pytest.raises(UnknownTool):
        registry.source(ADDER, "run_python")


def test_a_tools_own_permissions_are_needed_too(registry: ToolRegistry) -> None:
    registry.register(Made(name="deploy", permissions=("runtime.deploy:*",)))
    roles = frozenset({"tool.call:*"})
    caller = Principal("local", "ann", roles=frozenset({"owner"}), scopes=roles)
    assert "deploy" not in [tool.name for tool in registry.list(caller)]
    assert "deploy" in [tool.name for tool in registry.list(LOCAL_USER)]


def test_a_clash_names_both(registry: ToolRegistry) -> None:
    other = FunctionTool.from_function(sample_tools.add.__wrapped_tool__)
    with pytest.raises(ToolClash, match=r"'add': function tool of sample_tools and tools/b\.py"):
        registry.register(other, source="tools/b.py")
    assert registry.source(LOCAL_USER, "add") == "function tool of sample_tools"


@pytest.mark.parametrize("name", ["", "1st", "a b", "a.b", "x" * 65, "ü"])
def test_a_name_that_models_cannot_call_is_refused(registry: ToolRegistry, name: str) -> None:
    with pytest.raises(ToolDefinitionError, match="cannot be the name of a tool"):
        registry.register(Made(name=name))


def test_a_broken_schema_is_refused(registry: ToolRegistry) -> None:
    with pytest.raises(ToolDefinitionError, match=r"no JSON Schema .* at properties/x/type"):
        registry.register(
            Made(name="bad", input_schema={"type": "object", "properties": {"x": {"type": "it"}}})
        )
    with pytest.raises(ToolDefinitionError, match="has to be of type object"):
        registry.register(Made(name="bad", input_schema={"type": "string"}))
    with pytest.raises(ToolDefinitionError, match="no JSON Schema"):
        registry.register(Made(name="bad", output_schema={"type": 5}))


def versions_of(registry: ToolRegistry, name: str) -> tuple[str, ...]:
    return registry.versions(LOCAL_USER, name)


def test_the_newest_version_is_given_unless_another_is_asked_for(registry: ToolRegistry) -> None:
    for version in ("1.9", "1.10", "2", "1"):
        registry.register(Made(name="report", version=version))
    assert versions_of(registry, "report") == ("2", "1.10", "1.9", "1")
    assert registry.get(LOCAL_USER, "report").spec.version == "2"
    assert registry.get(LOCAL_USER, "report@1.9").spec.version == "1.9"
    assert registry.get(LOCAL_USER, "report@1.0").spec.version == "1"
    listed = [tool.spec for tool in registry.list(LOCAL_USER) if tool.spec.name == "report"]
    assert [spec.version for spec in listed] == ["2"]
    for name in ("report@3", "report@new", "report@", "nothing@1"):
        with pytest.raises(UnknownTool):
            registry.get(LOCAL_USER, name)
    registry.unregister("report@2.0")
    assert registry.get(LOCAL_USER, "report").spec.version == "1.10"
    registry.unregister("report")
    assert versions_of(registry, "report") == ()


def test_an_older_version_does_not_stand_in_for_a_newer_one_that_is_forbidden() -> None:
    registry = ToolRegistry(RoleAuthorizer(ROLES))
    registry.register(Made(name="add", version="1"))
    registry.register(Made(name="add", version="2", permissions=("runtime.deploy:*",)))
    assert registry.list(ADDER) == []
    with pytest.raises(UnknownTool):
        registry.get(ADDER, "add")
    assert registry.get(ADDER, "add@1").spec.version == "1"
    assert registry.versions(ADDER, "add") == ("1",)


@pytest.mark.parametrize("version", ["", "one", "1.", "1.2.3.4.5", "v1", "1\n", "-1"])
def test_a_version_that_cannot_be_compared_is_refused(registry: ToolRegistry, version: str) -> None:
    with pytest.raises(ToolDefinitionError, match=r"'report' .* give up to four numbers"):
        registry.register(Made(name="report", version=version))


def test_a_version_twice_and_a_version_of_something_else_clash(registry: ToolRegistry) -> None:
    registry.register(Made(name="report", version="1"))
    with pytest.raises(ToolClash, match="two tools are named 'report'"):
        registry.register(Made(name="report", version="1.0"))
    # A newer "version" of a tool of another kind would take that tool's place.
    with pytest.raises(ToolClash, match="'run_python'"):
        registry.register(Made(name="run_python", version="2"))
    problems = registry.replace("run", [Made(name="run_python", version="2", origin="builtin")])
    assert [type(problem) for problem in problems] == [ToolClash]
    assert registry.get(LOCAL_USER, "run_python").spec.version == "1"


def test_a_deprecated_tool_says_so_first_and_stays(registry: ToolRegistry) -> None:
    spec = ToolSpec(name="old", description="Do it.", deprecated="use add")
    assert spec.description == "Deprecated: use add\nDo it."
    again = ToolSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    old = FunctionTool.from_function(
        sample_tools.add.__wrapped_tool__, name="old", deprecated="use add", version="3"
    )
    registry.register(old)
    assert registry.get(LOCAL_USER, "old").spec.description.startswith("Deprecated: use add\nAdd")
    assert old.spec.version == "3"
    assert not ToolSpec(name="new", description="Do it.").description.startswith("Deprecated")


def test_the_tools_of_a_source_are_replaced_at_once(registry: ToolRegistry) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        names = [tool.name for tool in registry.list(LOCAL_USER)]
        seen.append([name for name in names if name.startswith("hub_")])

    registry.listen(look)
    assert registry.replace("hub", [Made(name="hub_a"), Made(name="hub_b")]) == ()
    assert registry.replace("hub", [Made(name="hub_b"), Made(name="hub_c")], source="hub 2") == ()
    assert registry.source(LOCAL_USER, "hub_c") == "hub 2"
    assert registry.namespace("hub_c") == "hub"
    assert registry.namespace("add") == registry.namespace("nothing") == ""
    assert registry.replace("hub", ()) == ()
    assert seen == [["hub_a", "hub_b"], ["hub_b", "hub_c"], []]
    assert "add" in [tool.name for tool in registry.list(LOCAL_USER)]


def test_what_of_a_source_cannot_be_had_is_told_and_the_rest_is_there(
    registry: ToolRegistry,
) -> None:
    registry.register(Made(name="hub_mine"))
    problems = registry.replace(
        "hub",
        [
            Made(name="add", version="2"),
            Made(name="hub_mine"),
            Made(name="hub_bad", input_schema={"type": "string"}),
            Made(name="hub_good"),
            Made(name="hub_good"),
        ],
        source="the hub",
    )
    told = [str(problem) for problem in problems]
    assert len(told) == 4
    assert "'add' does not begin with 'hub_'" in told[0]
    assert "two tools are named 'hub_mine': function tool of" in told[1]
    assert "'hub_bad': the input schema" in told[2]
    assert "two tools are named 'hub_good': the hub and the hub" in told[3]
    assert registry.get(LOCAL_USER, "hub_good")
    assert registry.namespace("hub_mine") == ""


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"description": "half a \ud800 pair"}, "of itself that is no JSON: .* surrogates"),
        ({"tags": ("\ud800",)}, "of itself that is no JSON: .* surrogates"),
        ({"input_schema": {"type": "object", "properties": {"\ud800": {}}}}, "surrogates"),
        (
            {"output_schema": {"default": float("nan")}},
            "of itself that is no JSON: Out of range float",
        ),
        ({"input_schema": {"type": "object", "default": object()}}, "of itself that is no JSON"),
        ({"input_schema": nested(100_000)}, "of itself that is no JSON: .* recursion"),
        ({"input_schema": nested(200)}, "cannot be used: Recursion limit"),
        ({"input_schema": {"type": "object", "$ref": "http://127.0.0.1/"}}, "cannot fetch"),
        ({"input_schema": {"type": "object", "$ref": "#/$defs/no"}}, "does not exist"),
        ({"input_schema": {"type": "object", "properties": {"a": {"pattern": "("}}}}, "regex"),
    ],
)
def test_what_cannot_be_handed_on_costs_the_other_tools_nothing(
    registry: ToolRegistry, fields: dict[str, Any], told: str
) -> None:
    tools = [Made(name="hub_a"), Made(name="hub_odd", **fields), Made(name="hub_z")]
    (problem,) = registry.replace("hub", tools)
    assert type(problem) is ToolDefinitionError
    assert "'hub_odd'" in str(problem)
    assert re.search(told, str(problem))
    assert len(str(problem)) < 1_000
    assert [tool.name for tool in registry.list(LOCAL_USER) if "hub" in tool.name] == [
        "hub_a",
        "hub_z",
    ]


def test_listeners_hear_of_what_comes_and_goes_whoever_fails(
    registry: ToolRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def fails() -> None:
        raise RuntimeError("deaf")

    registry.listen(fails)
    registry.listen(lambda: heard.append(registry.revision))
    registry.register(Made(name="report"))
    registry.unregister("report")
    assert len(heard) == 2
    assert heard[0] < heard[1]
    assert "somebody could not be told" in caplog.text


@pytest.mark.parametrize("name", ["find_tools", "describe_tool", "call_tool"])
def test_the_names_by_which_tools_are_looked_for_are_taken(
    registry: ToolRegistry, name: str
) -> None:
    with pytest.raises(ToolDefinitionError, match="cannot be the name of a tool"):
        registry.register(Made(name=name))


def test_two_thousand_tools_are_listed_and_found_at_once() -> None:
    registry = ToolRegistry(RoleAuthorizer(ROLES))
    made = [Made(name=f"hub_list_{number}") for number in range(2000)]
    assert registry.replace("hub", made) == ()
    several = [Principal("t", str(n), roles=frozenset({"user", str(n)})) for n in range(5)]
    for one in several:
        assert len(registry.list(one)) == 2000

    begun = time.process_time()  # whatever else the machine does
    for one in several:
        assert len(registry.list(one)) == 2000
        assert registry.get(one, "hub_list_7").name == "hub_list_7"
        with pytest.raises(UnknownTool) as caught:
            registry.get(one, "hub_lst_1999")
    assert (time.process_time() - begun) / len(several) < 0.05
    assert "Did you mean 'hub_list_1999'?" in str(caught.value)
    assert str(caught.value).endswith(" and 1,960 more.")
    assert len(str(caught.value)) < 2_000


def test_what_was_looked_through_is_not_looked_through_again(
    registry: ToolRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = Made(name="hub_a"), Made(name="hub_b", input_schema={"type": "string"})
    looked: list[str] = []
    check = registry_module._check_schemas

    def noted(spec: ToolSpec) -> None:
        looked.append(spec.name)
        check(spec)

    monkeypatch.setattr(registry_module, "_check_schemas", noted)
    registry.prepare([good, bad])
    (problem,) = registry.replace("hub", [good, bad])
    assert str(problem) == "tool 'hub_b': the input schema has to be of type object"
    assert looked == ["hub_a", "hub_b", "hub_b"]
    good.spec = good.spec.model_copy(update={"input_schema": {"type": "string"}})
    assert len(registry.replace("hub", [good])) == 1


@pytest.mark.parametrize("order", [("git", "git_hub"), ("git_hub", "git")])
def test_a_namespace_keeps_its_names_whoever_comes_first(
    registry: ToolRegistry, order: tuple[str, str]
) -> None:
    registry.reserve(("git", "git_hub"))
    tools = {
        "git": [Made(name="git_log"), Made(name="git_hub_push")],
        "git_hub": [Made(name="git_hub_push"), Made(name="git_hub_pull")],
    }
    problems = [str(one) for name in order for one in registry.replace(name, tools[name])]
    assert problems == [
        "the tool 'git_hub_push' of git has a name that only tools of git_hub may have; name one "
        "of the two otherwise in codin.toml"
    ]
    assert registry.namespace("git_hub_push") == "git_hub"
    assert registry.namespace("git_log") == "git"
