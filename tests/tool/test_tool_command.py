"""Commands as tools, in real sandboxes."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tool_house import House

from codin.config import ConfigError, load_settings
from codin.gateway.tools import open_sources
from codin.sandbox.local import LocalSandboxProvider
from codin.security import DEFAULT_ROLES, LOCAL_USER, OutgoingGuard, RoleAuthorizer
from codin.testing.tool_conformance import ToolCase, ToolConformance
from codin.tool import (
    Argument,
    CommandTool,
    RunnableTool,
    ToolDefinitionError,
    ToolLimits,
    ToolRegistry,
)

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

TEXT = Argument({"type": "string"})
SECONDS = Argument({"type": "number", "default": 0})


def commands() -> list[RunnableTool]:
    return [
        CommandTool(
            "count_to",
            ["bash", "-c", 'sleep "$2"; seq -s " " 1 "$1"', "count", "{to}", "{seconds}"],
            {"to": Argument({"type": "integer", "maximum": 1000}), "seconds": SECONDS},
            description="Count to a number.",
            effects="none",
        ),
        CommandTool(
            "show",
            ["printf", "[%s]", "{words}"],
            {"words": Argument({"type": "array", "items": {"type": "string"}})},
            description="Show words.",
        ),
        CommandTool(
            "find_text",
            ["grep", "{loud}", "-n", ["-e", "{pattern}"], "{path}"],
            {
                "pattern": TEXT,
                "path": TEXT,
                "loud": Argument({"type": "boolean"}, flag="--ignore-case"),
            },
            description="Find lines.",
            exit_codes=(0, 1),
        ),
        CommandTool(
            "parse",
            ["python3", "-c", "import json,sys; print(json.dumps(json.load(sys.stdin)))"],
            {"text": TEXT},
            description="Read JSON.",
            stdin="text",
            output="json",
        ),
        CommandTool("speak", ["echo", "{text}"], {"text": TEXT}, description="?", output="json"),
        CommandTool("nowhere", ["no-such-program"], description="Is not there."),
        CommandTool(
            "fails",
            ["bash", "-c", "seq 1 50 >&2; echo out; exit 7"],
            description="Fails.",
        ),
        CommandTool(
            "hangs",
            ["bash", "-c", "echo begun; sleep 60"],
            description="Takes long.",
            limits=ToolLimits(seconds=1),
        ),
    ]


@pytest.fixture
def tools() -> list[RunnableTool]:
    return commands()


async def test_arguments_are_words_and_no_shell_sees_them(house: House) -> None:
    words = ["$(id)", "`id`", "a b", "; ls", "'", '"', "\\n", "", "*", "> /workspace/x"]
    outcome = await house.call("show", words=words)
    assert outcome.value == "".join(f"[{word}]" for word in words)


async def test_a_command_works_in_the_goals_workspace(house: House) -> None:
    found = await house.call("find_text", pattern="NORTH", path="data/sales.csv", loud=True)
    assert found.value == "2:2025-01-01,North,10.5\n4:2025-01-03,North,7"
    nothing = await house.call("find_text", pattern="NORTH", path="data/sales.csv")
    assert (nothing.value, nothing.is_error) == ("Exit code 1.", False)
    refused = await house.call("find_text", pattern="x", path="--help")
    assert refused.error_type == "InvalidArguments"
    assert refused.text.startswith("find_text: argument 'path' may not make '--help'")


async def test_what_it_reads_and_what_it_prints_can_be_data(house: House) -> None:
    outcome = await house.call("parse", text='{"a": [1, 2.5, null]}')
    assert outcome.value == {"a": [1, 2.5, None]}
    outcome = await house.call("speak", text="no json")
    assert outcome.error_type == "ToolFailed"
    assert "what it printed is not JSON" in outcome.text
    assert "no json" in outcome.text


async def test_a_failure_is_told_with_the_last_lines(house: House) -> None:
    outcome = await house.call("fails")
    assert outcome.error_type == "ToolFailed"
    lines = outcome.text.splitlines()
    assert lines[0] == "fails ended with exit code 7."
    assert lines[1:] == [str(number) for number in range(31, 51)]


async def test_a_program_that_is_not_there(house: House) -> None:
    outcome = await house.call("nowhere")
    assert outcome.text == "nowhere failed: there is no program 'no-such-program' in the sandbox"


async def test_it_ends_at_its_limit_and_is_heard_meanwhile(house: House) -> None:
    begun = time.monotonic()
    outcome = await house.call("hangs")
    assert outcome.error_type == "ToolTimeout"
    assert time.monotonic() - begun < 15
    assert [(event.name, event.stream, event.text) for event in house.live] == [
        ("hangs", "stdout", "begun\n")
    ]


async def test_a_canceled_command_leaves_nothing_running(house: House) -> None:
    running = asyncio.create_task(house.call("count_to", to=5, seconds=987.25))
    async with asyncio.timeout(20):
        while not _runs(b"987.25"):
            await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while _runs(b"987.25"):
            await asyncio.sleep(0.05)


def _runs(argument: bytes) -> bool:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument in file.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


class TestCommandConforms(ToolConformance):
    @pytest.fixture
    def case(self, house: House) -> ToolCase:
        bound = {tool.name: tool for tool in house.executor.bind(house.grant())}
        return ToolCase(
            bound["count_to"],
            arguments={"to": 3},
            expected="1 2 3",
            wrong={"to": "many"},
            wrong_name="to",
            failing={"to": 3, "seconds": -1},
            slow={"to": 3, "seconds": 30},
        )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"argv": ["ls"], "arguments": {"path": TEXT}}, r"'path' has no place: write \{path\}"),
        ({"argv": ["ls", "{path}"]}, "'path', which is no argument; there are: none"),
        ({"argv": ["ls"], "stdin": "text"}, "stdin is to be 'text', which is no argument"),
        (
            {"argv": ["ls"], "stdin": "n", "arguments": {"n": SECONDS}},
            "'n' is its stdin, and has to be a string",
        ),
        (
            {"argv": ["ls", "{o}"], "arguments": {"o": Argument({"type": "object"})}},
            "'o' is to be object, which is no argument of a command",
        ),
        (
            {"argv": ["ls", "{o}"], "arguments": {"o": Argument({"type": "array"})}},
            "'o' is to be anything",
        ),
        (
            {"argv": ["ls", "{o}"], "arguments": {"o": Argument({"type": "string"}, flag="-x")}},
            "'o' has a flag, and is no boolean",
        ),
        (
            {
                "argv": ["ls", "{o}"],
                "arguments": {"o": Argument({"type": "integer", "default": "x"})},
            },
            "the default of the argument 'o' does not fit it",
        ),
    ],
)
async def test_a_command_that_cannot_be_a_tool_says_why(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolDefinitionError, match=f"the command 'mine': .*{told}"):
        CommandTool("mine", description="Mine.", **given)


SETTINGS = """
[commands.git_log]
description = "The last commits of a repository."
argv = ["git", "log", "--oneline", ["-n", "{count}"], "{merges}", "--", "{paths}"]
effects = "none"
seconds = 20
tags = ["git"]
exit_codes = [0, 128]

[commands.git_log.arguments.count]
type = "integer"
minimum = 1
default = 10
description = "how many"

[commands.git_log.arguments.merges]
type = "boolean"
flag = "--merges"

[commands.git_log.arguments.paths]
type = "array"
items = { type = "string", minLength = 1 }
optional = true

[commands.broken]
description = "Cannot be used."
argv = ["ls", "{where}"]
"""


async def test_commands_of_the_settings(tmp_path: Path, provider: LocalSandboxProvider) -> None:
    file = tmp_path / "codin.toml"
    file.write_text(SETTINGS)
    settings = load_settings(file)
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    async with open_sources(registry, settings, OutgoingGuard(), provider) as sources:
        assert [(problem.source, problem.message) for problem in sources.problems] == [
            (
                "commands.broken",
                "the command 'broken': '{where}' in argv has a place for 'where', which is no "
                "argument; there are: none",
            )
        ]
        made = registry.get(LOCAL_USER, "git_log")
        assert registry.source(LOCAL_USER, "git_log") == "commands.git_log"
    spec = made.spec
    assert (spec.origin, spec.effects, spec.tags) == ("command", "none", ("git",))
    assert (spec.limits.seconds, spec.trusted) == (20.0, False)
    assert spec.input_schema == {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "description": "how many", "minimum": 1, "default": 10},
            "merges": {"type": "boolean"},
            "paths": {"type": "array", "items": {"type": "string", "minLength": 1}},
        },
        "required": [],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("minimun = 1", "unknown key 'commands.x.arguments.a.minimun'; did you mean 'minimum'"),
        ("type = 'object'", "commands.x.arguments.a.type"),
    ],
)
async def test_settings_of_a_command_that_cannot_be_used(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "codin.toml"
    kind = "" if text.startswith("type") else "type = 'integer'\n"
    file.write_text(
        "[commands.x]\ndescription = 'X'\nargv = ['ls', '{a}']\n"
        f"[commands.x.arguments.a]\n{kind}{text}\n"
    )
    with pytest.raises(ConfigError, match=told):
        load_settings(file)
