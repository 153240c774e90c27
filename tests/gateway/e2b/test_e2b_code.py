"""The code interpreter by its official SDK."""

from __future__ import annotations

import base64
import threading
import time

import pytest
from e2b import NotFoundException, SandboxException, TimeoutException
from e2b_code_interpreter import AsyncSandbox, Context
from e2b_code_interpreter import Sandbox as Interpreter
from e2b_service import Service

pytestmark = pytest.mark.slow


def test_state_is_kept(interpreter: Interpreter) -> None:
    assert interpreter.run_code("x = 1").text is None
    assert interpreter.run_code("x += 1; x").text == "2"


def test_what_is_printed_and_shown(interpreter: Interpreter) -> None:
    seen: dict[str, list[object]] = {"out": [], "err": [], "result": []}
    execution = interpreter.run_code(
        "import sys\nprint('out')\nprint('err', file=sys.stderr)\n"
        "display({'shown': 1}, 'two')\n[3]",
        on_stdout=lambda message: seen["out"].append(message.line),
        on_stderr=lambda message: seen["err"].append((message.line, message.error)),
        on_result=lambda result: seen["result"].append(result.text),
    )
    assert (execution.logs.stdout, execution.logs.stderr) == (["out\n"], ["err\n"])
    assert seen["out"] == ["out\n"]
    assert seen["err"] == [("err\n", True)]
    assert seen["result"] == ["{'shown': 1}", "'two'", "[3]"]
    assert [result.is_main_result for result in execution.results] == [False, False, True]
    assert execution.text == "[3]"


def test_what_is_shown_comes_at_once(interpreter: Interpreter) -> None:
    times: list[float] = []
    interpreter.run_code(
        "import time\ndisplay(1)\ntime.sleep(0.6)\ndisplay(2)",
        on_result=lambda _: times.append(time.monotonic()),
    )
    assert times[1] - times[0] > 0.3


def test_a_semicolon_keeps_the_value_back(interpreter: Interpreter) -> None:
    assert interpreter.run_code("1 + 1;").results == []


def test_lines_for_the_shell(interpreter: Interpreter) -> None:
    code = "print('before')\n!echo $HOME\nif True:\n    !echo 'in \"it\"'\n5"
    execution = interpreter.run_code(code)
    assert (execution.error, execution.text) == (None, "5")
    assert "".join(execution.logs.stdout) == 'before\n/home/user\nin "it"\n'
    kept = 'text = """\n!not a command\n"""\ntext'
    assert interpreter.run_code(kept).text == repr("\n!not a command\n")
    assert "pip" in "".join(interpreter.run_code("%pip --version").logs.stdout)


def test_errors(interpreter: Interpreter) -> None:
    told: list[object] = []
    execution = interpreter.run_code("def f():\n    return 1 / 0\nf()", on_error=told.append)
    error = execution.error
    assert (error.name, error.value) == ("ZeroDivisionError", "division by zero")
    assert "line 2, in f" in error.traceback
    assert "codin" not in error.traceback
    assert told == [error]
    assert interpreter.run_code("nonsense(").error.name == "SyntaxError"
    assert interpreter.run_code("raise SystemExit(3)").error.name == "SystemExit"


def test_forms_of_what_is_shown(interpreter: Interpreter) -> None:
    code = """
class Many:
    def __repr__(self): return "many"
    def _repr_html_(self): return "<b>many</b>"
    def _repr_markdown_(self): return "**many**"
    def _repr_svg_(self): return "<svg/>"
    def _repr_png_(self): return b"\\x89PNG"
    def _repr_jpeg_(self): return b"jpeg"
    def _repr_pdf_(self): return b"%PDF"
    def _repr_latex_(self): return "$m$"
    def _repr_json_(self): return {"many": [1, 2]}
    def _repr_javascript_(self): return "many()"
Many()
"""
    [result] = interpreter.run_code(code).results
    assert (result.text, result.html, result.markdown) == ("many", "<b>many</b>", "**many**")
    assert (result.svg, result.latex, result.javascript) == ("<svg/>", "$m$", "many()")
    assert base64.b64decode(result.png) == b"\x89PNG"
    assert base64.b64decode(result.jpeg) == b"jpeg"
    assert base64.b64decode(result.pdf) == b"%PDF"
    assert result.json == {"many": [1, 2]}
    broken = "class B:\n    def __repr__(self): return 'b'\n    def _repr_html_(self): 1 / 0\nB()"
    execution = interpreter.run_code(broken)
    assert (execution.results[0].html, execution.text) == (None, "b")
    assert "ZeroDivisionError" in execution.logs.stderr[0]
    bundle = "display({'text/plain': 'p', 'text/html': '<i>', 'x/y': 1}, raw=True)"
    [shown] = interpreter.run_code(bundle).results
    assert (shown.text, shown.html, shown.extra) == ("p", "<i>", {"x/y": 1})


def test_tables(interpreter: Interpreter) -> None:
    code = (
        "import pandas\npandas.DataFrame({'a': [1, 2], 'b': [None, 'x'],"
        " 'c': pandas.to_datetime(['2026-01-01', '2026-01-02'])})"
    )
    [result] = interpreter.run_code(code).results
    assert "<table" in result.html
    assert result.data["a"] == [1, 2]
    assert result.data["c"][0].startswith("2026-01-01")


def test_charts(interpreter: Interpreter) -> None:
    code = """
import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [1, 4, 9], label="squares")
plt.title("Growth"); plt.xlabel("time (s)"); plt.ylabel("size")
plt.show()
print("between")
plt.bar(["a", "b"], [3, 4])
figure, axes = plt.subplots(1, 2)
axes[0].scatter([1, 2], [3, 4]); axes[1].pie([1, 3], labels=["x", "y"]);
"""
    execution = interpreter.run_code(code)
    assert execution.error is None
    line, bar, both = execution.results
    for result in execution.results:
        assert base64.b64decode(result.png).startswith(b"\x89PNG\r\n")
    chart = line.chart
    assert (chart.type, chart.title, chart.x_label, chart.x_unit) == (
        "line",
        "Growth",
        "time (s)",
        "s",
    )
    assert chart.elements[0].label == "squares"
    assert chart.elements[0].points == [(1, 1), (2, 4), (3, 9)]
    assert [(each.label, each.value) for each in bar.chart.elements] == [("a", 3), ("b", 4)]
    assert both.chart.type == "superchart"
    scatter, pie = both.chart.elements
    assert scatter.elements[0].points == [(1, 3), (2, 4)]
    assert [(each.label, each.angle) for each in pie.elements] == [("x", 90), ("y", 270)]
    boxes = interpreter.run_code("plt.boxplot([[1, 2, 3, 4, 100], [2, 3, 4]]);").results[0].chart
    first = boxes.elements[0]
    assert (first.median, first.first_quartile, first.outliers) == (3, 2, [100])
    assert interpreter.run_code("plt.get_fignums()").text == "[]"


def test_contexts(interpreter: Interpreter) -> None:
    interpreter.run_code("shared = 1")
    context = interpreter.create_code_context(cwd="/tmp")
    assert (context.language, context.cwd) == ("python", "/tmp")
    assert context.id in {each.id for each in interpreter.list_code_contexts()}
    assert interpreter.run_code("import os; os.getcwd()", context=context).text == "'/tmp'"
    assert interpreter.run_code("shared", context=context).error.name == "NameError"
    interpreter.run_code("mine = 2", context=context)
    interpreter.restart_code_context(context)
    assert interpreter.run_code("mine", context=context).error.name == "NameError"
    interpreter.remove_code_context(context)
    assert context.id not in {each.id for each in interpreter.list_code_contexts()}
    for call in (
        lambda: interpreter.run_code("1", context=context),
        lambda: interpreter.remove_code_context(context.id),
        lambda: interpreter.restart_code_context(context.id),
        lambda: interpreter.run_code("1", context=Context("none", "python", "/")),
    ):
        with pytest.raises(NotFoundException):
            call()


def test_variables_of_one_run(interpreter: Interpreter) -> None:
    code = "import os; os.environ.get('ONCE')"
    assert interpreter.run_code(code, envs={"ONCE": "here"}).text == "'here'"
    assert interpreter.run_code(code).text is None
    shell = interpreter.run_code("echo [$ONCE]", language="bash", envs={"ONCE": "x"})
    assert shell.logs.stdout == ["[x]\n"]
    assert interpreter.run_code("echo [$ONCE]", language="bash").logs.stdout == ["[]\n"]


def test_bash(interpreter: Interpreter) -> None:
    interpreter.run_code("cd /tmp; export KEPT=1", language="bash")
    execution = interpreter.run_code("echo $PWD $KEPT; false", language="bash")
    assert execution.logs.stdout == ["/tmp 1\n"]
    assert execution.error.value == "exit status 1"


@pytest.mark.parametrize("language", ["javascript", "r", "java", "typescript"])
def test_other_languages_are_not_served(interpreter: Interpreter, language: str) -> None:
    with pytest.raises(SandboxException, match=f"501.*{language}.*python, bash"):
        interpreter.run_code("1", language=language)
    with pytest.raises(SandboxException, match="501"):
        interpreter.create_code_context(language=language)


def test_code_that_takes_too_long_is_interrupted_and_its_state_stays(
    interpreter: Interpreter,
) -> None:
    interpreter.run_code("before = 5")
    with pytest.raises(TimeoutException):
        interpreter.run_code("import time\nwhile True: time.sleep(0.05)", timeout=1)
    assert interpreter.run_code("before").text == "5"


@pytest.mark.slow
def test_code_that_will_not_be_interrupted_is_ended(service: Service) -> None:
    with Interpreter.create(**service.options) as sandbox:
        stubborn = (
            "import time\nwhile True:\n    try: time.sleep(1)\n    except KeyboardInterrupt: pass"
        )
        with pytest.raises(TimeoutException):
            sandbox.run_code(stubborn, timeout=1)
        assert sandbox.run_code("1 + 1").text == "2"


def test_a_process_that_dies_is_told_and_begun_anew(interpreter: Interpreter) -> None:
    interpreter.run_code("gone = 1")
    error = interpreter.run_code("import os; os.kill(os.getpid(), 9)").error
    assert "what the context held is lost" in error.value
    assert interpreter.run_code("gone").error.name == "NameError"


def test_a_sandbox_that_ends_while_code_runs(service: Service) -> None:
    sandbox = Interpreter.create(**service.options)
    killer = threading.Timer(1, sandbox.kill)
    killer.start()
    with pytest.raises(TimeoutException, match="killed"):
        sandbox.run_code("import time\ntime.sleep(30)")
    killer.join()


@pytest.mark.parametrize(
    "item", ["5", "{'type': 'stdout'}", "{'type': 'result', 'text': 5, 'other': 1}", "'x' * 100"]
)
def test_what_code_itself_sends_harms_nobody_else(interpreter: Interpreter, item: str) -> None:
    code = f"import sys\nsys.modules['_codin_worker'].emit({item})\n'after'"
    execution = interpreter.run_code(code)
    assert execution.error is None or execution.error.name == "WorkerProtocolError"
    assert interpreter.run_code("1 + 1").text == "2"


def test_code_that_shows_more_than_is_read(interpreter: Interpreter) -> None:
    code = "for _ in range(40): display('x' * 90_000)"
    assert len(interpreter.run_code(code).results) == 40
    assert interpreter.run_code("1 + 1").text == "2"


def test_code_and_commands_see_the_same_files(interpreter: Interpreter) -> None:
    interpreter.run_code("open('from_code.txt', 'w').write('hello')")
    assert interpreter.files.read("from_code.txt") == "hello"
    assert interpreter.commands.run("cat from_code.txt").stdout == "hello"


def test_a_flood_of_output(interpreter: Interpreter) -> None:
    execution = interpreter.run_code("for _ in range(2000): print('x' * 1000)")
    assert sum(map(len, execution.logs.stdout)) == 2000 * 1001


async def test_the_async_half(service: Service) -> None:
    seen: list[str] = []

    async def on_stdout(message: object) -> None:
        seen.append(message.line)

    async with await AsyncSandbox.create(**service.options) as sandbox:
        execution = await sandbox.run_code("print('a')\nawait __import__('asyncio').sleep(0)\n7")
        assert (execution.text, execution.logs.stdout) == ("7", ["a\n"])
        context = await sandbox.create_code_context()
        await sandbox.run_code("print('b')", context=context, on_stdout=on_stdout)
        assert seen == ["b\n"]
        await sandbox.remove_code_context(context)
