"""Secrets that functions ask for: given by the operator, and in nothing that comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from tool_house import House

from codin.config import ConfigError, SecretSettings, Settings, load_settings
from codin.gateway.tools import open_sources, register_tools
from codin.sandbox.local import LocalSandboxProvider
from codin.security import DEFAULT_ROLES, LOCAL_USER, OutgoingGuard, RoleAuthorizer
from codin.security.secrets import SecretRef, forms, hide
from codin.tool import FunctionTool, RunnableTool, Secret, ToolDefinitionError, ToolRegistry

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SECRET = "tok/93-ümläut"
FILE = Path(__file__).with_name("secret_tools.py")


@pytest.fixture
def tools(tmp_path: Path) -> list[RunnableTool]:
    (tmp_path / "tracker").write_text(SECRET)
    return []


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, SecretSettings]:
    every = ("*_ticket", "*_here", "open_door")
    return {
        "tracker": SecretSettings(file=tmp_path / "tracker", tools=every),
        "door": SecretSettings(file=tmp_path / "door", tools=("open_ticket",)),
    }


@pytest.fixture
def filled(house: House, secrets: dict[str, SecretSettings]) -> House:
    settings = Settings(tools=(FILE,), secrets=secrets)
    assert "open_door" in str(register_tools(house.registry, settings))
    return house


def everything(house: House, outcome: object) -> str:
    return f"{outcome!r}{house.live}{house.recorder.began}{house.recorder.ended}"


async def test_it_is_no_argument(filled: House) -> None:
    spec = filled.registry.get(LOCAL_USER, "open_ticket").spec
    assert list(spec.input_schema["properties"]) == ["title", "day"]
    assert "tracker" not in spec.model_dump_json()
    given = await filled.call("open_here", token="mine")
    assert given.error_type == "InvalidArguments"


async def test_a_function_in_a_sandbox_has_it_and_nothing_tells_it(filled: House) -> None:
    outcome = await filled.call("open_ticket", title="It rains", day="2025-02-03")
    assert outcome.error is None
    assert outcome.value == {
        "title": "It rains on 2025 for local",
        "said": "Bearer [secret]",
        "[secret]": "[secret]",
        "length": str(len(SECRET)),
    }
    assert [event.text for event in filled.live] == ["with [secret]\n"]
    assert SECRET not in everything(filled, outcome)


async def test_a_trusted_function_has_it_too(filled: House) -> None:
    outcome = await filled.call("open_here", times=2)
    assert outcome.value == f"[secret] [secret] {len(SECRET)}"
    outcome = await filled.call("tell_here")
    assert outcome.value == "[secret]"
    assert "".join(event.text for event in filled.live) == "[secret]\n[secret]"
    assert SECRET not in everything(filled, outcome)


@pytest.mark.parametrize("name", ["refuse_ticket", "refuse_here"])
async def test_a_failure_is_told_without_it(
    filled: House, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await filled.call(name)
    assert outcome.text.startswith(f"{name} failed: ValueError: [secret] is not let in")
    assert SECRET not in everything(filled, outcome) + caplog.text
    assert SECRET not in repr(filled.registry.get(LOCAL_USER, name))


async def test_one_that_it_is_not_given(filled: House) -> None:
    outcome = await filled.call("open_door")
    assert outcome.error_type == "ToolFailed"
    assert outcome.text == (
        "open_door asks for the secret 'door', which it is not given: have the operator add "
        '[secrets.door] with tools = ["open_door"], and env or file for where it is, to codin.toml'
    )


async def test_one_that_is_not_where_it_should_be(filled: House, tmp_path: Path) -> None:
    (tmp_path / "tracker").unlink()
    outcome = await filled.call("open_here")
    assert outcome.error_type == "ToolFailed"
    assert f"the secret in {tmp_path}/tracker cannot be read" in outcome.text
    (tmp_path / "tracker").write_text("\n")
    assert "there is no secret in the file" in (await filled.call("open_here")).text


SETTINGS = """
[secrets.tracker]
file = "tracker"
tools = ["open_ticket"]
"""


async def test_who_has_none_is_named_at_the_start(
    tmp_path: Path, provider: LocalSandboxProvider
) -> None:
    (tmp_path / "codin.toml").write_text(f'tools = ["{FILE}"]\n{SETTINGS}')
    settings = load_settings(tmp_path / "codin.toml")
    assert settings.secrets["tracker"].file == tmp_path / "tracker"
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    async with open_sources(registry, settings, OutgoingGuard(), provider) as sources:
        told = {problem.message.partition(" asks for ")[0] for problem in sources.problems}
        assert {problem.source for problem in sources.problems} == {str(FILE)}
    assert told == {"refuse_ticket", "open_here", "tell_here", "refuse_here", "open_door"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('env = "A"', "secrets.tracker.tools"),
        ('env = "A"\ntools = []', "secrets.tracker.tools"),
        ('tools = ["a"]', "one of the two"),
        ('env = "A"\ntool = ["a"]', "unknown key 'secrets.tracker.tool'; did you mean 'tools'"),
    ],
)
async def test_settings_that_cannot_be_used(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "codin.toml").write_text(f"[secrets.tracker]\n{text}\n")
    with pytest.raises(ConfigError, match=told):
        load_settings(tmp_path / "codin.toml")


def bare(token: Secret) -> str:
    """Asks wrongly."""
    return str(token)


def unnamed(token: Annotated[str, Secret]) -> str:
    """Asks wrongly."""
    return token


def optional(token: Annotated[str, Secret("a")] | None = None) -> str:
    """Asks wrongly."""
    return str(token)


def number(token: Annotated[int, Secret("a")]) -> str:
    """Asks wrongly."""
    return str(token)


def two(token: Annotated[str, Secret("a"), Secret("b")]) -> str:
    """Asks wrongly."""
    return token


@pytest.mark.parametrize("function", [bare, unnamed, optional, number, two])
async def test_a_secret_is_asked_for_in_one_way(function: Any) -> None:
    with pytest.raises(ToolDefinitionError, match=r"token: Annotated\[str, Secret\("):
        FunctionTool.from_function(function)


def asks(token: Annotated[str, Secret("a")]) -> str:
    """Asks rightly."""
    return token


async def test_what_is_evolved_is_given_none() -> None:
    with pytest.raises(ToolDefinitionError, match="'asks' is evolved and asks for a secret"):
        FunctionTool.from_function(asks, origin="evolved")


async def test_given_ones_are_those_of_that_tool_alone() -> None:
    plain = FunctionTool.from_function(asks, trusted=True)
    given = plain.with_secrets({"a": SecretRef(env="A"), "b": SecretRef(env="B")})
    assert (given.secrets, given.not_given) == (("a",), "")
    assert "the secret 'a'" in plain.not_given


async def test_secrets_are_hidden_in_each_form() -> None:
    secret = 'a"b/c\nd'
    text = f'{secret} a%22b%2Fc%0Ad {{"a": "a\\"b/c\\nd"}} \\u00fcber'
    assert hide(text, forms([secret])) == '[secret] [secret] {"a": "[secret]"} \\u00fcber'
    assert hide("\\u00fcber1234", forms(["über1234"])) == "[secret]"
