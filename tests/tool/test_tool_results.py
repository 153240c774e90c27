"""Results that are too long to be given whole: a preview, and a file of the workspace with all."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from quick_executor import Scripted
from tool_house import House

from codin.config import PolicySettings
from codin.sandbox.errors import SandboxUnavailable
from codin.security import LOCAL_USER
from codin.tool import ExecutorSettings, Policies, ToolExecutor, ToolLimits

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LIMITS = ToolLimits(result_chars=600)
ROWS = [{"row": number, "text": "ä" * 20} for number in range(500)]
SECRET = "hunter2-and-more"


async def file_of(house: House, path: str) -> bytes:
    with await house.workspaces.open(LOCAL_USER, "goal-1", path) as file:
        return await file.read(10_000_000)


async def test_the_whole_of_a_long_result_is_in_a_file(house: House) -> None:
    house.registry.register(Scripted(ROWS, name="rows", limits=LIMITS))
    outcome = await house.call("rows")
    assert (outcome.truncated, outcome.is_error) == (True, False)
    assert outcome.value == outcome.text
    assert len(outcome.text) <= 600
    assert outcome.text.startswith('[{"row": 0, ')
    assert outcome.text.endswith('"}]')
    assert f"the file {outcome.file} has all of it" in outcome.text
    assert json.loads(await file_of(house, outcome.file)) == ROWS
    read = await house.call("read_file", path=outcome.file)
    assert not read.is_error
    files = await house.workspaces.files(LOCAL_USER, "goal-1")
    assert [file.path for file in files] == [outcome.file]
    assert Path(outcome.file).suffix == ".json"
    assert (await house.call("rows")).file != outcome.file


async def test_a_long_result_of_a_sandbox_is_kept_as_the_text_it_is(house: House) -> None:
    outcome = await house.call("long_result", count=50_000)
    assert await file_of(house, outcome.file) == b"begin " + b"x" * 50_000 + b" end"
    assert Path(outcome.file).suffix == ".txt"
    assert house.recorder.ended[-1].truncated
    assert house.recorder.ended[-1].value == outcome.text


async def test_a_secret_is_not_in_the_file_either(house: House) -> None:
    async def leak(call: Any) -> str:
        call.secrets.append(SECRET)
        return f"{SECRET} " * 100

    house.registry.register(Scripted(leak, name="leak", limits=LIMITS))
    outcome = await house.call("leak")
    assert await file_of(house, outcome.file) == b"[secret] " * 100
    assert SECRET not in str(outcome)


async def test_what_is_too_much_to_keep_is_cut_only(house: House) -> None:
    executor = ToolExecutor(
        house.registry,
        runtime=house.executor._runtime,
        sandboxes=house.sandboxes,
        settings=ExecutorSettings(kept_chars=1000),
    )
    house.registry.register(Scripted("x" * 1001, "x" * 1000, name="large", limits=LIMITS))
    first = await executor.call(house.grant(), "large", {})
    second = await executor.call(house.grant(), "large", {})
    assert (first.truncated, first.file) == (True, None)
    assert "the middle is left out ...]" in first.text
    assert second.file is not None


async def test_without_a_sandbox_a_long_result_is_cut_only(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> Any:
        raise SandboxUnavailable("no namespaces here")

    monkeypatch.setattr(house.sandboxes, "sandbox", none)
    house.registry.register(Scripted(ROWS, name="rows", limits=LIMITS))
    with caplog.at_level(logging.WARNING):
        outcome = await house.call("rows")
    assert (outcome.truncated, outcome.file, outcome.is_error) == (True, None, False)
    assert "no namespaces here" in caplog.text


async def test_a_kept_result_of_a_pure_tool_is_a_file_of_each_goal(house: House) -> None:
    tool = Scripted(ROWS, name="rows", limits=LIMITS, pure=True)
    house.registry.register(tool)
    here = await house.call("rows")
    there = await house.executor.call(house.grant(goal="goal-2"), "rows", {})
    assert (len(tool.calls), there.cached) == (1, True)
    assert here.file != there.file
    with await house.workspaces.open(LOCAL_USER, "goal-2", there.file) as file:
        assert json.loads(await file.read(1_000_000)) == ROWS


async def test_a_file_that_is_barred_is_so_by_its_name_alone_too(house: House) -> None:
    async with house.sandboxes.sandbox(house.grant()) as sandbox:
        await sandbox.fs.write("secrets/key.txt", b"hunter2")
        await sandbox.fs.write("open/note.txt", b"hello")
    rule = PolicySettings(tool="read_file", effect="deny", argument="path", below=("secrets",))
    executor = ToolExecutor(
        house.registry,
        runtime=house.executor._runtime,
        sandboxes=house.sandboxes,
        policies=Policies([rule]),
    )
    for path in ("secrets/key.txt", "key.txt", "other/key.txt", "./secrets/../secrets/key.txt"):
        outcome = await executor.call(house.grant(), "read_file", {"path": path})
        assert outcome.error_type == "ToolRefused", path
        assert "hunter2" not in outcome.text
    allowed = await executor.call(house.grant(), "read_file", {"path": "note.txt"})
    assert allowed.value == "hello"
