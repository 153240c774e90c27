"""The executor, with real sandboxes: who may call what, and how calls end."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest
from tool_house import House

from codin.security import LOCAL_USER, Principal
from codin.tool import BoundTool, ToolError, calling

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def until_live(house: House) -> None:
    async with asyncio.timeout(20):
        while not house.live:
            await asyncio.sleep(0.02)


async def test_a_function_runs_in_a_sandbox(house: House) -> None:
    outcome = await house.call("add", a=1, b=2)
    assert (outcome.value, outcome.text, outcome.is_error) == (3, "3", False)
    assert outcome.usage.wall_seconds > 0
    assert (await house.call("add", a="5")).value == 15
    assert (await house.call("later", text="x")).value == "later x"


async def test_rich_arguments_and_results_travel(house: House) -> None:
    trip = {"name": "home", "km": 10}
    outcome = await house.call("convert_trip", trip=trip, on="2025-03-04", unit="mile")
    assert outcome.value == {"name": "home", "length": 6.2, "year": 2025, "unit": "mile"}
    assert json.loads(outcome.text) == outcome.value
    outcome = await house.call("convert_trip", trip=trip, on="someday")
    assert outcome.error_type == "InvalidArguments"
    assert "argument 'on'" in outcome.text


async def test_what_json_has_no_word_for_becomes_text(house: House) -> None:
    value = (await house.call("odd")).value
    assert value == {
        "nan": "nan",
        "set": [1],
        "bytes": "\ufffd",
        "5": "<class 'object'>",
        "big": str(2**100),
    }


async def test_the_context_is_given(house: House) -> None:
    assert (await house.call("who")).value == "local/local"
    assert (await house.call("who", mode="long")).value == "task-1"


async def test_a_tool_sees_nothing_of_the_host(house: House, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = (await house.call("spy", port=server.getsockname()[1])).value
    assert found["pid"] != os.getpid()
    assert (found["network"], found["home"]) == (False, False)
    assert "OPENAI_API_KEY" not in found["environment"]


async def test_trusted_tools_run_here(house: House) -> None:
    assert (await house.call("here")).value == os.getpid()
    assert (await house.call("here_later", n=1)).value == os.getpid() + 1
    failed = await house.call("here_broken")
    assert failed.text.startswith("here_broken failed: ZeroDivisionError: integer division")
    assert "return 1 // 0" in failed.text
    hung = await house.call("here_hangs")
    assert hung.error_type == "ToolTimeout"


async def test_an_exception_tells_the_users_lines_only(house: House) -> None:
    outcome = await house.call("broken", step=5)
    assert outcome.error_type == "ToolFailed"
    lines = outcome.text.splitlines()
    assert lines[0] == "broken failed: IndexError: tuple index out of range"
    assert lines[1].endswith("return STEPS[step]")
    assert len(lines) == 2
    left = await house.call("leaves")
    assert left.text.startswith("leaves failed: SystemExit: 7")


async def test_what_passes_is_tried_again_in_a_sandbox_too(house: House) -> None:
    outcome = await house.call("away")
    assert outcome.error_type == "ToolUnavailable"
    assert outcome.text.startswith("away failed: the service is away")
    assert "".join(event.text for event in house.live) == "tried\n" * 2
    assert len(house.recorder.ended) == 1


async def test_a_tool_works_where_codin_is_not_installed() -> None:
    request = {
        "source": Path(__file__).with_name("bare_tool.py").read_text(),
        "filename": "bare_tool.py",
        "qualname": "shout",
        "arguments": {"text": "hi"},
        "context": {"context": {"user": "ann"}},
        "convert": [],
        "secrets": {},
    }
    program = resources.files("codin.tool").joinpath("_entry.py").read_text()
    code = (
        "import json, sys; space = {'__name__': 'entry'}\n"
        "program, request = json.load(sys.stdin)\n"
        "exec(program, space); print(json.dumps(space['call'](request)))\n"
    )
    # Without the site packages codin cannot be found.
    argv = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(
        argv, input=json.dumps([program, request]), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"value": "HI ann"}
    failing = {**request, "qualname": "refuse"}
    done = subprocess.run(
        argv, input=json.dumps([program, failing]), capture_output=True, text=True, check=True
    )
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["message"]) == ("ToolError", "not today")


async def test_a_tool_that_hangs_is_ended(house: House) -> None:
    begun = time.monotonic()
    outcome = await house.call("hangs")
    assert outcome.error_type == "ToolTimeout"
    assert "0.5 seconds" in outcome.text
    assert time.monotonic() - begun < 5


async def test_a_tool_that_prints_too_much_is_ended(house: House) -> None:
    outcome = await house.call("chatty", lines=10_000_000)
    assert outcome.error_type == "ToolOutputLimit"
    assert sum(len(event.text) for event in house.live) <= 70_000
    assert house.live[-1].text == "[more output is not shown]"


async def test_a_tool_that_takes_all_memory_is_ended(house: House) -> None:
    outcome = await house.call("hungry")
    assert outcome.error_type == "ToolFailed"
    assert "more than 200 MiB of memory" in outcome.text
    assert outcome.usage.wall_seconds > 0


async def test_a_long_result_is_cut_and_says_so(house: House) -> None:
    outcome = await house.call("long_result", count=100_000)
    assert outcome.truncated
    assert len(outcome.text) <= 1000
    assert outcome.text.startswith("begin")
    assert outcome.text.endswith(" end")
    assert "100,010 characters in all" in outcome.text
    assert outcome.value == outcome.text
    assert not (await house.call("long_result", count=10)).truncated


async def test_output_comes_live_with_the_calls_id(house: House) -> None:
    await house.executor.call(house.grant(), "chatty", {"lines": 3}, call_id="call-9")
    assert "".join(event.text for event in house.live).startswith("line 0 xxx")
    assert {(event.call_id, event.name, event.stream) for event in house.live} == {
        ("call-9", "chatty", "stdout")
    }


async def test_output_comes_before_the_end(house: House) -> None:
    code = "import time\nprint('first')\ntime.sleep(1.5)\nprint('second')"
    running = asyncio.create_task(house.python(code))
    await until_live(house)
    assert not running.done()
    assert house.live[0].text == "first\n"
    assert (await running).text == "first\nsecond"


async def test_unknown_and_forbidden_look_the_same(house: House) -> None:
    grant = house.grant(tools=frozenset({"add", "later", "not_registered"}))
    texts = set()
    for name in ("here", "nothing", "not_registered"):
        outcome = await house.executor.call(grant, name, {})
        assert outcome.error_type == "UnknownTool"
        texts.add(outcome.text.replace(f"'{name}'", "NAME"))
    assert texts == {"there is no tool NAME. The tools are: add, later."}
    outcome = await house.executor.call(grant, "ad", {})
    assert "Did you mean 'add'?" in outcome.text


async def test_a_principal_without_the_permission_has_no_tool(house: House) -> None:
    nobody = Principal("local", "nobody")
    narrow = LOCAL_USER.narrowed(frozenset({"tool.call:later"}))
    assert house.executor.specs(house.grant(principal=nobody)) == []
    assert [spec.name for spec in house.executor.specs(house.grant(principal=narrow))] == ["later"]
    outcome = await house.executor.call(house.grant(principal=nobody), "add", {"a": 1})
    assert outcome.text == "there is no tool 'add'. The tools are: none."


async def test_a_run_that_is_over_calls_nothing(house: House) -> None:
    house.expires_at = time.time() - 1
    outcome = await house.call("add", a=1)
    assert outcome.error_type == "RunEnded"
    assert "task-1 is over" in outcome.text


async def test_wrong_arguments_reach_no_sandbox(house: House) -> None:
    outcome = await house.call("add", a="x")
    assert outcome.error_type == "InvalidArguments"
    assert "argument 'a' should be a whole number" in outcome.text
    outcome = await house.call("later", text="x" * 2_000_000)
    assert outcome.error_type == "InvalidArguments"
    assert "send less at once" in outcome.text
    assert len(house.recorder.began[-1].arguments) < 1_100_000


async def test_every_call_is_recorded_before_it_is_answered(house: House) -> None:
    grant = house.grant()
    await house.executor.call(grant, "add", {"b": 2, "a": 1}, call_id="c1")
    await house.executor.call(grant, "broken", {"step": 9}, call_id="c2")
    await house.executor.call(grant, "nothing", '{"x": 1}', call_id="c3")
    began, ended = house.recorder.began, house.recorder.ended
    assert [(call.call_id, call.name) for call in began] == [
        ("c1", "add"),
        ("c2", "broken"),
        ("c3", "nothing"),
    ]
    assert began[0].arguments == ended[0].arguments == '{"a":1,"b":2}'
    assert began[2].arguments == '{"x":1}'
    assert [call.key.partition(":")[0] for call in began] == ["codin", "codin", ""]
    assert [call.effects for call in began] == ["repeatable", "repeatable", "none"]
    assert [(call.call_id, call.value, call.error_type) for call in ended] == [
        ("c1", 3, None),
        ("c2", None, "ToolFailed"),
        ("c3", None, "UnknownTool"),
    ]
    assert ended[1].message.startswith("broken failed: IndexError")
    assert ended[0].seconds > 0


async def test_a_canceled_call_leaves_nothing_and_is_recorded(house: House) -> None:
    running = asyncio.create_task(house.python("import time; print('on'); time.sleep(60)"))
    await until_live(house)
    pids = await house.python("1", task="other")
    assert not pids.is_error
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert house.recorder.ended[-1].error_type == "Canceled"
    again = await house.python("print('again')")
    assert again.text == "again\nThe variables of earlier calls are lost."


async def test_a_bound_tool_is_a_call_of_the_executor(house: House) -> None:
    grant = house.grant(tools=frozenset({"add", "broken"}))
    bound = {tool.name: tool for tool in house.executor.bind(grant)}
    assert sorted(bound) == ["add", "broken"]
    add = bound["add"]
    assert isinstance(add, BoundTool)
    assert (await add.invoke(1, 2), await add.invoke(a=1), await add.invoke(4, b=1)) == (3, 11, 5)
    with pytest.raises(ToolError, match="IndexError"):
        await bound["broken"].invoke(9)
    with calling("mine"):
        await add.invoke(1)
    assert [call.name for call in house.recorder.ended] == ["add"] * 3 + ["broken", "add"]
    assert house.recorder.ended[-1].call_id == "mine"


async def test_a_bound_tool_shows_nothing_of_the_executor(house: House) -> None:
    tool = house.executor.bind(house.grant())[0]
    public = {name for name in dir(tool) if not name.startswith("_")}
    assert public == {"name", "spec", "invoke"}
    assert not hasattr(tool, "__dict__")


async def test_calls_of_a_goal_run_beside_each_other_and_are_bounded(house: House) -> None:
    calls = [house.call("later", text=str(n)) for n in range(10)]
    outcomes = await asyncio.gather(*calls)
    assert [outcome.value for outcome in outcomes] == [f"later {n}" for n in range(10)]


async def test_a_sink_that_fails_costs_the_call_nothing(house: House) -> None:
    async def sink(grant: object, event: object) -> None:
        raise RuntimeError("the log is full")

    house.executor._sink = sink
    assert (await house.call("chatty", lines=2)).value == "printed"
