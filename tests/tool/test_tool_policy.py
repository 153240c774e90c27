"""Policies on the values of arguments: data, deny by default, refusals that say what would do."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from quick_executor import Quick, Scripted

from codin.config import ConfigError, PolicySettings, load_settings
from codin.security import LOCAL_USER, Principal
from codin.tool import ApprovalNeeded, Policies, ToolRefused, ToolSpec

PAY = ToolSpec(
    name="pay",
    input_schema={
        "type": "object",
        "properties": {
            "amount": {"type": "number"},
            "to": {"type": "string", "default": "bank"},
            "url": {"type": "string"},
            "path": {"type": "string"},
            "order": {"type": "object"},
        },
    },
)
CLERK = Principal("local", "cleo", roles=frozenset({"clerk"}))


def check(
    arguments: Any, *policies: Any, who: Principal = LOCAL_USER, spec: ToolSpec = PAY
) -> None:
    made = (PolicySettings.model_validate({"tool": "pay", **policy}) for policy in policies)
    Policies(made).check(spec, who, arguments)


def allowed(arguments: Any, *policies: Any, **more: Any) -> bool:
    try:
        check(arguments, *policies, **more)
    except ToolRefused:
        return False
    return True


def is_so(condition: dict[str, Any], value: Any) -> bool | None:
    """Whether ``value`` meets the condition: what allowing and denying it say of it together."""
    about = {"argument": "x", **condition}
    spec = ToolSpec(name="pay", input_schema={"type": "object", "properties": {"x": {}}})
    lets = allowed({"x": value}, {"effect": "allow", **about}, spec=spec)
    bars = not allowed({"x": value}, {"effect": "deny", **about}, spec=spec)
    assert bars or not lets, "what is allowed by a condition has to be denied by it too"
    return lets if lets == bars else None


@pytest.mark.parametrize(
    ("condition", "met", "not_met", "unclear"),
    [
        ({"in": ["a", 1, None]}, ["a", 1, 1.0, None], ["b", True, "1", {"a": 1}, ""], []),
        ({"in": [True]}, [True], [1, "true"], []),
        ({"not_in": ["a"]}, ["b", 1, None], ["a"], []),
        ({"max": 100}, [100, 1.5, -5], [101, 10**30, float("inf")], ["5", True, None, {}]),
        ({"min": 10}, [10, float("inf")], [9.99, -(10**30)], ["11", float("nan"), False]),
        ({"min": 1, "max": 2}, [1, 2], [0, 3], ["1"]),
        (
            {"pattern": "feature/[a-z]+|dev"},
            ["feature/x", "dev"],
            ["feature/x\n", "xdev", "devil", "feature/", "main"],
            [5, None],
        ),
        (
            {"hosts": ["api.example.org", "*.safe.example", "[2001:DB8::1]:8443", "10.0.0.1"]},
            [
                "https://api.example.org/a?b#c",
                "http://API.example.org.:8080/",
                "wss://a.b.safe.example",
                "https://[2001:db8:0::1]:8443/x",
                "http://10.0.0.1/",
            ],
            [
                "https://example.org",
                "https://safe.example",
                "https://notsafe.example/",
                "https://api.example.org.evil.com/",
                "https://[2001:db8::1]/",
                "https://evil.com/?https://api.example.org",
                "https://evil.com/#@api.example.org",
            ],
            [
                "https://api.example.org@evil.com/",
                "https://evil.com\\@api.example.org/",
                "https://api.example.org\t.evil.com/",
                "api.example.org",
                "//api.example.org/x",
                "file:///etc/passwd",
                "https://0x0a000001/",
                "https://",
                "https://[::1",
                7,
            ],
        ),
        (
            {"hosts": "api.example.org:8443"},
            ["https://api.example.org:8443/"],
            ["https://api.example.org/"],
            [],
        ),
        (
            {"below": "reports"},
            ["reports/a.md", "./reports/a.md", "/workspace/reports/b/c", "reports", "reports//a"],
            ["a.md", "reportsx/a", "/etc/passwd", "//etc/passwd", "/reports/a", "data/reports", ""],
            [
                "reports/../a",
                "a/..",
                "~/x",
                "file:///workspace/reports",
                "reports\\..\\a",
                "a\0b",
                5,
            ],
        ),
        ({"below": ["/workspace"]}, ["a", "/workspace/x"], ["/tmp/x", "//tmp"], []),
    ],
)
def test_conditions(condition: Any, met: Any, not_met: Any, unclear: Any) -> None:
    for value in met:
        assert is_so(condition, value) is True, value
    for value in not_met:
        assert is_so(condition, value) is False, value
    for value in unclear:
        assert is_so(condition, value) is None, value


def test_an_allow_list_is_for_each_value_and_for_everybody() -> None:
    clerks = {"effect": "allow", "argument": "amount", "max": 100, "roles": ["clerk"]}
    owners = {"effect": "allow", "argument": "amount", "max": 5000, "roles": ["owner"]}
    both = Principal("local", "bo", roles=frozenset({"clerk", "owner"}))
    assert allowed({"amount": 100}, clerks, owners, who=CLERK)
    assert not allowed({"amount": 101}, clerks, owners, who=CLERK)
    assert allowed({"amount": 5000}, clerks, owners)
    assert allowed({"amount": 5000}, clerks, owners, who=both)
    nobody = Principal("local", "eve", roles=frozenset({"guest"}))
    with pytest.raises(ToolRefused, match="no value of it is allowed to you"):
        check({"amount": 1}, clerks, owners, who=nobody)


def test_items_of_lists_and_paths_into_objects() -> None:
    cheap = {"effect": "allow", "argument": "order.items.*.price", "max": 10}
    assert allowed({"order": {"items": [{"price": 1}, {"price": 10}]}}, cheap)
    assert allowed({"order": {"items": []}}, cheap)
    for order in (
        {"items": [{"price": 1}, {"price": 11}]},
        {"items": [{"price": 1}, {}]},
        {"items": [{"price": [1, [2, [99]]]}]},
        {"items": {"a": {"price": 99}}},
        {"items": "all"},
        {},
    ):
        assert not allowed({"order": order}, cheap), order
    tags = {"effect": "deny", "argument": "order.tags", "in": ["urgent"]}
    assert allowed({"order": {"tags": ["calm"]}}, tags)
    assert not allowed({"order": {"tags": ["calm", ["urgent"]]}}, tags)
    deep: Any = "urgent"
    for _ in range(5000):
        deep = [deep]
    assert not allowed({"order": {"tags": deep}}, tags)
    first = {"effect": "deny", "argument": "order.tags.0", "in": ["urgent"]}
    assert allowed({"order": {"tags": ["calm", "urgent"]}}, first)
    assert not allowed({"order": {"tags": ["urgent"]}}, first)


def test_what_is_not_given_counts_as_what_the_tool_would_take() -> None:
    to = {"effect": "allow", "argument": "to", "in": ["shop"]}
    with pytest.raises(ToolRefused, match="'to' is \"bank\"; what is allowed is a value one of"):
        check({}, to)
    assert allowed({"to": "shop"}, to)
    assert not allowed({}, {"effect": "deny", "argument": "to", "in": ["bank"]})
    assert allowed({}, {"effect": "deny", "argument": "amount", "min": 0})
    assert allowed({}, {"effect": "deny", "argument": "to"})
    assert not allowed({"to": "shop"}, {"effect": "deny", "argument": "to"})
    with pytest.raises(ToolRefused, match="argument 'amount' is missing"):
        check({}, {"effect": "allow", "argument": "amount", "max": 1})


def test_a_pattern_of_names_means_the_tools_that_have_the_argument() -> None:
    hosts = {"tool": "*", "effect": "allow", "argument": "url", "hosts": ["a.example"]}
    other = ToolSpec(name="other", input_schema={"type": "object", "properties": {"x": {}}})
    assert allowed({"x": 1}, hosts, spec=other)
    assert not allowed({"x": 1, "url": "https://b.example"}, hosts, spec=other)
    assert not allowed({"amount": 1}, hosts)
    assert allowed({"amount": 1}, {**hosts, "tool": "http_*"})
    assert not allowed({"x": 1}, {**hosts, "tool": "other"}, spec=other)


@pytest.mark.parametrize(
    ("policy", "arguments", "kind", "said"),
    [
        (
            {"effect": "allow", "argument": "amount", "max": 1_000_000, "min": 1},
            {"amount": 0.5},
            ToolRefused,
            "pay: argument 'amount' is 0.5; what is allowed is a value at least 1 and at most "
            "1,000,000.",
        ),
        (
            {"effect": "deny", "argument": "path", "below": "secrets", "reason": "Ask Ann."},
            {"path": "secrets/key"},
            ToolRefused,
            "pay: argument 'path' is \"secrets/key\", and a value below secrets is denied. "
            "Ask Ann.",
        ),
        (
            {"effect": "deny", "argument": "path", "below": "secrets"},
            {"path": "../x"},
            ToolRefused,
            "pay: argument 'path' is \"../x\", which may be, and a value below secrets is denied.",
        ),
        (
            {"effect": "ask", "argument": "amount", "min": 100},
            {"amount": 100},
            ApprovalNeeded,
            "pay: argument 'amount' is 100, and a value at least 100 has to be approved by "
            "somebody, which nobody has done.",
        ),
        (
            {"effect": "ask"},
            {},
            ApprovalNeeded,
            "pay: a call of this tool has to be approved by somebody, which nobody has done.",
        ),
        ({"effect": "deny"}, {}, ToolRefused, "pay: a call of this tool is denied."),
        (
            {"effect": "allow", "argument": "url", "hosts": ["A.example", "*.b.example:8000"]},
            {"url": "https://" + "x" * 500},
            ToolRefused,
            "what is allowed is a value at the host a.example or *.b.example:8000.",
        ),
    ],
)
def test_a_refusal_says_what_is_allowed(policy: Any, arguments: Any, kind: Any, said: str) -> None:
    with pytest.raises(ToolRefused) as caught:
        check(arguments, policy)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_denied_comes_before_asked() -> None:
    with pytest.raises(ToolRefused) as caught:
        check({}, {"effect": "ask"}, {"effect": "deny"})
    assert type(caught.value) is ToolRefused
    assert allowed({}, {"effect": "deny", "roles": ["guest"]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=4), one, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_no_value_breaks_a_policy(value: Any) -> None:
    conditions: list[dict[str, Any]] = [
        {"in": ["a", 0]},
        {"not_in": [None]},
        {"pattern": "a+"},
        {"max": 3},
        {"hosts": ["a.example"]},
        {"below": "a"},
    ]
    for condition in conditions:
        for effect in ("allow", "deny", "ask"):
            allowed({"to": value}, {"effect": effect, "argument": "to", **condition})


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"effect": "allow", "argument": "x"}, "say what is allowed"),
        ({"effect": "deny", "max": 3}, "give the argument"),
        ({"effect": "deny", "argument": "x", "pattern": "(?=a)"}, "no regular expression"),
        ({"effect": "deny", "argument": "x", "hosts": ["*.org"]}, "at least two labels"),
        (
            {"effect": "deny", "argument": "x", "hosts": ["https://a.org"]},
            "org' is no host, such as",
        ),
        ({"effect": "deny", "argument": "x", "below": "../x"}, "no folder of the workspace"),
        ({"effect": "perhaps"}, "effect"),
        ({"effect": "deny", "code": "lambda x: x"}, "code"),
    ],
)
def test_a_policy_that_means_nothing_is_no_policy(policy: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PolicySettings.model_validate({"tool": "pay", **policy})


def test_policies_are_settings(tmp_path: Any) -> None:
    file = tmp_path / "codin.toml"
    file.write_text(
        '[[policies]]\ntool = "http_*"\neffect = "allow"\nargument = "url"\n'
        'hosts = ["*.Example.org"]\n\n[[policies]]\ntool = "pay"\neffect = "ask"\n'
        'argument = "amount"\nmin = 100\nroles = ["clerk"]\nin = [1, 2.5, "x", true]\n'
    )
    first, second = load_settings(file).policies
    assert (first.hosts, first.conditions) == (("*.example.org",), ("hosts",))
    assert (second.one_of, second.min, second.roles) == ((1, 2.5, "x", True), 100, ("clerk",))
    assert list(map(type, second.one_of)) == [int, float, str, bool]
    file.write_text('[[policies]]\ntool = "pay"\neffect = "deny"\nargument = "x"\npatern = "a"\n')
    with pytest.raises(ConfigError, match=r"policies\.0\.patern'; did you mean 'pattern'"):
        load_settings(file)


async def test_nothing_runs_when_a_policy_refuses() -> None:
    tool = Scripted("paid", name="pay", input_schema=PAY.input_schema)
    rule = {"tool": "pay", "effect": "allow", "argument": "amount", "max": 10}
    quick = Quick(
        tool, policies=(rule, {"tool": "pay", "effect": "ask", "argument": "to", "in": ["x"]})
    )
    assert (await quick.call("pay", {"amount": "10"})).value == "paid"
    refused = await quick.call("pay", '{"amount": "10.5"}')
    assert (refused.error_type, len(tool.calls)) == ("ToolRefused", 1)
    asked = await quick.call("pay", {"amount": 1, "to": "x"})
    assert (asked.error_type, len(tool.calls)) == ("ApprovalNeeded", 1)
