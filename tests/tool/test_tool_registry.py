"""One registry, with unique names, shown by permission."""

from typing import Any

import pytest
import sample_tools

from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer
from codin.tool import (
    FunctionTool,
    Invocation,
    RunnableTool,
    ToolClash,
    ToolDefinitionError,
    ToolRegistry,
    ToolSpec,
    UnknownTool,
    builtin_tools,
)

ROLES = {**DEFAULT_ROLES, "adder": frozenset({"tool.call:add"})}
ADDER = Principal("local", "ann", roles=frozenset({"adder"}))


class Made(RunnableTool):
    def __init__(self, **fields: Any) -> None:
        self.spec = ToolSpec(**fields)
        self.name = self.spec.name

    async def run(self, call: Invocation) -> Any:
        return None


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
