"""The built-in tools in a real sandbox: what a model reads after each call."""

import json
import time
from pathlib import Path

import pytest
from tool_house import House

from codin.tool import ToolLimits
from codin.tool.builtin import DescribeData, RunPython, RunShell

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def test_what_is_printed_is_the_result(house: House) -> None:
    assert (await house.python("print(1 + 1)")).value == "2"
    assert [event.text for event in house.live] == ["2\n"]


async def test_the_last_expression_is_shown(house: House) -> None:
    assert (await house.python("x = 20\nx * 2 + 2")).value == "42"
    assert (await house.python("'text'")).value == "'text'"


async def test_an_assignment_at_the_end_is_shown_with_its_name(house: House) -> None:
    assert (await house.python("total = 6 * 7")).value == "total = 42"
    assert (await house.python("total += 1")).value == "total = 43"
    assert (await house.python("a, b = 1, 2")).value == "a, b = (1, 2)"
    assert (await house.python("print('said')\nsilent = 1")).value == "said"
    assert (await house.python("class A: pass\nA.x = 1")).value == "Done; nothing was printed."


async def test_variables_stay_for_the_run_and_only_for_it(house: House) -> None:
    await house.python("kept = 1")
    assert (await house.python("kept")).value == "1"
    other = await house.python("kept", task="task-2")
    assert other.error_type == "ToolFailed"
    assert other.text == "NameError: name 'kept' is not defined\nline 1: kept"


async def test_files_are_shared_by_the_runs_of_a_goal(house: House) -> None:
    made = await house.python("open('a.txt', 'w').write('hi')\nNone", task="task-1")
    assert made.value == "Files made: a.txt"
    assert (await house.python("print(open('a.txt').read())", task="task-2")).value == "hi"
    changed = await house.python("print('x', file=open('a.txt', 'a'))", task="task-2")
    assert changed.value == "Files made: a.txt"
    other = await house.python("import os\nos.path.exists('a.txt')", goal="goal-2")
    assert other.value == "False"


async def test_fences_and_escaped_lines_are_undone(house: House) -> None:
    assert (await house.python("```python\nprint('in')\n```")).value == "in"
    assert (await house.python("x = 5\\nprint(x)")).value == "5"
    assert (await house.python("print('a\\nb')")).value == "a\nb"


async def test_usual_imports_may_be_forgotten(house: House) -> None:
    code = "df = pd.read_csv('data/sales.csv')\nprint(df.amount.sum())"
    assert (await house.python(code)).value == "17.5"
    failed = await house.python("math.sqrt(4)\nmath.nothing")
    assert failed.text.endswith("line 2: math.nothing")


async def test_an_error_is_short_and_helps(house: House) -> None:
    syntax = await house.python("for x in [1]\n  print(x)")
    assert syntax.text == "SyntaxError: expected ':'\nline 1: for x in [1]"
    missing = await house.python("open('sales.csv')")
    assert missing.text.endswith("line 1: open('sales.csv')\nFiles: data/sales.csv.")
    frames = await house.python(
        "def inner():\n    return {}['x']\nimport pandas as pd\n"
        "df = pd.DataFrame({'amount': [1]})\nprint('before')\ninner()"
    )
    assert frames.text == ("before\nKeyError: 'x'\nline 2: return {}['x']\nColumns of df: amount")


async def test_code_that_hangs_is_ended_and_the_next_call_is_told(house: House) -> None:
    slow = RunPython()
    slow.spec = slow.spec.model_copy(update={"name": "slow", "limits": ToolLimits(seconds=0.5)})
    house.registry.register(slow)
    await house.call("slow", code="kept = 1")
    begun = time.monotonic()
    outcome = await house.call("slow", code="while True: pass")
    assert outcome.error_type == "ToolTimeout"
    assert "took longer than 0.5 seconds" in outcome.text
    assert time.monotonic() - begun < 5
    after = await house.call("slow", code="print('on')")
    assert after.text == "on\nThe variables of earlier calls are lost."


async def test_code_that_prints_a_gigabyte_is_ended(house: House) -> None:
    outcome = await house.python("line = 'x' * 1_000_000\nfor _ in range(1000): print(line)")
    assert outcome.error_type == "ToolOutputLimit"
    assert "Print less" in outcome.text


async def test_code_that_ends_its_process_is_told(house: House) -> None:
    outcome = await house.python("import os; os._exit(3)")
    assert outcome.error_type == "ToolFailed"
    assert "exit code 3" in outcome.text


@pytest.mark.slow
async def test_a_chart_that_is_only_shown_is_saved(house: House) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    assert (await house.python(code)).value.endswith("Files made: chart.png")
    with await house.workspaces.open(house.grant().principal, "goal-1", "chart.png") as file:
        assert (await file.read(8)) == b"\x89PNG\r\n\x1a\n"
        assert file.info.media_type == "image/png"


async def test_a_long_print_is_cut(house: House) -> None:
    outcome = await house.python("for n in range(5000): print('row', n)")
    assert outcome.truncated
    assert len(outcome.text) <= 8_000
    assert outcome.text.startswith("row 0\n")
    assert outcome.text.endswith("row 4999")


async def test_shell(house: House) -> None:
    assert (await house.call("run_shell", command="wc -l < data/sales.csv")).value == "4"
    outcome = await house.call("run_shell", command="echo out; echo err >&2; exit 3")
    assert outcome.value == "out\nerr\nExit code 3."
    assert (await house.call("run_shell", command="true")).value == "Done; it printed nothing."
    flood = await house.call("run_shell", command="yes")
    assert flood.error_type == "ToolOutputLimit"
    slow = RunShell()
    slow.spec = slow.spec.model_copy(update={"name": "slow", "limits": ToolLimits(seconds=0.5)})
    house.registry.register(slow)
    hung = await house.call("slow", command="sleep 60")
    assert hung.error_type == "ToolTimeout"


async def test_files_are_written_read_and_listed(house: House) -> None:
    wrote = await house.call("write_file", path="notes/a.md", text="# Hé\nline\n")
    assert wrote.value == "Wrote notes/a.md (11 bytes)."
    assert (await house.call("read_file", path="notes/a.md")).value == "# Hé\nline\n"
    assert (await house.call("read_file", path="/workspace/notes/a.md")).value == "# Hé\nline\n"
    listed = await house.call("list_files")
    assert listed.value == "data/sales.csv (77 bytes)\nnotes/a.md (11 bytes)"
    assert (await house.call("list_files", path="data")).value == "data/sales.csv (77 bytes)"
    for path in ("notes", "notes/", "notes/a.md", "/workspace/notes"):
        assert (await house.call("list_files", path=path)).value == "notes/a.md (11 bytes)"


async def test_a_part_of_a_file_is_read(house: House) -> None:
    text = "".join(f"line {n}\n" for n in range(1, 5001))
    await house.call("write_file", path="long.txt", text=text)
    part = await house.call("read_file", path="long.txt", start_line=3, max_lines=2)
    assert part.value == "line 3\nline 4\n\n[the file goes on: read it with start_line=5]"
    whole = await house.call("read_file", path="long.txt", max_lines=2000)
    assert not whole.truncated
    assert "the file goes on" in whole.text
    last = await house.call("read_file", path="long.txt", start_line=5000)
    assert last.value == "line 5000\n"
    assert "no line 9999" in (await house.call("read_file", path="long.txt", start_line=9999)).text
    await house.call("write_file", path="empty.txt", text="")
    assert (await house.call("read_file", path="empty.txt")).value == "The file is empty."


@pytest.mark.parametrize("tool", ["read_file", "describe_data"])
async def test_a_missing_file_is_told_with_those_that_are_there(house: House, tool: str) -> None:
    outcome = await house.call(tool, path="data/sale.csv")
    assert outcome.error_type == "ToolFailed"
    assert outcome.text == "there is no file 'data/sale.csv'. Files: data/sales.csv."
    folder = await house.call(tool, path="data")
    assert "'data' is a folder" in folder.text


async def test_a_name_that_only_one_file_has_means_that_file(house: House) -> None:
    outcome = await house.call("describe_data", path="sales.csv")
    assert outcome.text.startswith("data/sales.csv: 77 bytes, 3 rows")
    assert (await house.call("read_file", path="/sales.csv", max_lines=1)).text.startswith("day,")
    await house.call("write_file", path="other/sales.csv", text="x")
    outcome = await house.call("describe_data", path="sales.csv")
    assert outcome.text.endswith("Files: data/sales.csv, other/sales.csv.")


async def test_nothing_outside_can_be_written_or_listed(house: House) -> None:
    for path in ("/etc/passwd", "../x", "data/new.csv", "data/sales.csv"):
        outcome = await house.call("write_file", path=path, text="x")
        assert outcome.error_type == "ToolFailed", path
        assert "cannot be used" in outcome.text
    await house.call("run_shell", command="ln -s /etc link")
    assert (await house.call("list_files", path="link")).is_error
    assert (await house.call("write_file", path="link/x", text="x")).is_error


async def test_data_is_described(house: House) -> None:
    outcome = await house.call("describe_data", path="data/sales.csv")
    assert outcome.value == (
        "data/sales.csv: 77 bytes, 3 rows, 3 columns, separated by commas\n"
        "- day: date as text (year .str[:4], month .str[:7]), 2025-01-01 to 2025-01-03\n"
        "- region: text: North, South\n"
        "- amount: float 7 to 10.5, 1 empty\n"
        "First rows:\n"
        "2025-01-01,North,10.5\n"
        "2025-01-02,South,\n"
        "2025-01-03,North,7"
    )


async def test_other_data_is_described_shortly(house: House) -> None:
    wide = ",".join(f"column_{n}" for n in range(400)) + "\n" + ",".join("7" * 400) + "\n"
    files = {
        "wide.csv": wide,
        "semi.csv": "a;b\n1,5;x\n2,5;y\n",
        "list.json": json.dumps([{"name": "a" * 5000}] * 3),
        "object.json": json.dumps({"rows": [1, 2], "meta": {"by": "x"}}),
        "bad.json": "{",
        "lines.jsonl": '{"a": 1}\n{"a": 2}\n',
        "plain.txt": "hello world\n" * 3,
        "empty.csv": "",
    }
    told = {}
    for path, text in files.items():
        await house.call("write_file", path=path, text=text)
        outcome = await house.call("describe_data", path=path)
        assert not outcome.is_error, outcome.text
        assert len(outcome.text) <= 1200
        told[path] = outcome.text
    assert "1 rows, 400 columns" in told["wide.csv"]
    assert "2 rows, 2 columns, separated by semicolons" in told["semi.csv"]
    assert "JSON list of 3" in told["list.json"]
    assert "- meta: object of by" in told["object.json"]
    assert "no valid JSON" in told["bad.json"]
    assert "2 lines of JSON" in told["lines.jsonl"]
    assert "3 lines, 6 words" in told["plain.txt"]
    await house.call("run_shell", command="head -c 100 /dev/zero > zero.bin")
    assert "not text" in (await house.call("describe_data", path="zero.bin")).text


async def test_looking_goes_on_after_a_look_that_failed(house: House) -> None:
    await house.call("run_shell", command="mkfifo pipe")
    slow = DescribeData()
    slow.spec = slow.spec.model_copy(update={"name": "slow", "limits": ToolLimits(seconds=0.5)})
    house.registry.register(slow)
    assert (await house.call("slow", path="pipe")).error_type == "ToolTimeout"
    assert not (await house.call("slow", path="data/sales.csv")).is_error
    await house.sandboxes.close(house.grant().principal, "goal-1")
    assert not (await house.call("slow", path="data/sales.csv")).is_error


async def test_the_sandbox_ends_with_the_goal(house: House, tmp_path: Path) -> None:
    await house.python("kept = 1")
    await house.sandboxes.close(house.grant().principal, "goal-1")
    again = await house.python("print('kept' in globals())")
    assert again.value == "False"
