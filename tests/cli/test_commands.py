"""The command line from outside: honest exit codes, one clear sentence, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Environment = dict[str, str]


@pytest.fixture
def alone(tmp_path: Path) -> Environment:
    """An environment with no model, no settings and a home of its own."""
    keys = ("API_KEY", "OPENAI", "ANTHROPIC", "GOOGLE", "GEMINI", "OLLAMA", "CODIN")
    kept = {k: v for k, v in os.environ.items() if not any(key in k for key in keys)}
    return kept | {
        "CODIN_HOME": str(tmp_path / "home"),
        "CODIN_CACHE": str(tmp_path / "cache"),
        # Nobody listens there: a model server of this machine must not be found.
        "OLLAMA_HOST": "127.0.0.1:9",
    }


def codin(
    *arguments: str, env: Environment, cwd: Path, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "codin", *arguments],
        env=env,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", ""], 2, "the goal is empty"),
        (["run"], 2, "the goal is empty"),
        (["run", "--config", "none.toml", "x"], 2, "none.toml: cannot be read"),
        (["run", "--model", "nobody:x", "x"], 2, "unknown model provider 'nobody'"),
        (["run", "x"], 3, "no language model was found"),
        (["tasks", "show", "none"], 1, "there is no task 'none'"),
        (["tasks", "cancel", "none"], 1, "there is no task 'none'"),
        (["eval", "plans", "none.yaml"], 2, "there is no exam none.yaml"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    alone: Environment, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    done = codin(*arguments, env=alone, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_goal_is_read_from_stdin(alone: Environment, tmp_path: Path) -> None:
    done = codin("run", "-", env=alone, cwd=tmp_path, stdin="  \n")
    assert done.returncode == 2
    assert "the goal is empty" in done.stderr


def test_help_names_every_command(alone: Environment, tmp_path: Path) -> None:
    done = codin("--help", env=alone, cwd=tmp_path)
    assert done.returncode == 0
    first = ("run", "up", "sandbox", "matrix", "doctor")
    commands = (*first, "model", "agents", "tools", "tasks", "eval")
    for command in commands:
        assert f"\n  {command}" in done.stdout


def test_tools_and_tasks_are_lines_of_json(alone: Environment, tmp_path: Path) -> None:
    tools = codin("tools", "--json", env=alone, cwd=tmp_path)
    names = [json.loads(line)["name"] for line in tools.stdout.splitlines()]
    assert names == sorted(names)
    assert {"run_python", "run_shell", "read_file", "write_file", "list_files"} <= set(names)
    assert codin("tasks", "list", "--json", env=alone, cwd=tmp_path).stdout == ""


def test_tools_are_searched_by_words(alone: Environment, tmp_path: Path) -> None:
    (tmp_path / "codin.toml").write_text(
        "[commands.word_count]\ndescription = 'Count lines, words and bytes.'\n"
        "argv = ['wc', '{file}']\n[commands.word_count.arguments.file]\ntype = 'string'\n"
        "[commands.broken]\ndescription = 'Cannot be used.'\nargv = ['wc', '{file}']\n"
    )
    found = codin("tools", "--search", "counting words", "--json", env=alone, cwd=tmp_path)
    assert json.loads(found.stdout.splitlines()[0])["name"] == "word_count"
    assert "commands.broken: the command 'broken': '{file}' in argv" in found.stderr
    table = codin("tools", "--search", "python code", env=alone, cwd=tmp_path)
    assert "run_python" in table.stdout
    assert "word_count" not in table.stdout
    nothing = codin("tools", "--search", "zebra", env=alone, cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "No tool fits 'zebra'." in nothing.stderr


def test_of_many_tools_each_has_a_line(alone: Environment, tmp_path: Path) -> None:
    long = "Count " + "many " * 60
    commands = [
        f'[commands.count_{n:02}]\ndescription = """{long}\nand more"""\nargv = [\'wc\']\n'
        for n in range(50)
    ]
    (tmp_path / "codin.toml").write_text("".join(commands))
    listed = codin("tools", env={**alone, "COLUMNS": "90"}, cwd=tmp_path)
    head, *lines = listed.stdout.splitlines()
    assert head.split() == ["name", "origin", "runs", "description"]
    names = [line.split()[0] for line in lines]
    assert names == sorted(names)
    assert {f"count_{n:02}" for n in range(50)} < set(names)
    assert not any("and more" in line for line in lines)
    assert f"{len(names)} tools: --search WORDS finds the ten that fit best." in listed.stderr
    found = codin("tools", "--search", "count", env=alone, cwd=tmp_path)
    assert len(found.stdout.splitlines()) == 11
    assert "--search" not in found.stderr


def test_the_doctor_says_what_is_missing(alone: Environment, tmp_path: Path) -> None:
    done = codin("doctor", "--json", env=alone, cwd=tmp_path)
    report = json.loads(done.stdout)
    models = {row["what"]: row for row in report["models"]}
    assert models["model openai"]["detail"] == "set OPENAI_API_KEY"
    assert not any(row["ok"] for row in report["models"])
    assert done.returncode == 1  # without a model no goal can be run
    levels = {row["what"]: row for row in report["sandboxes"]}
    assert list(levels) == [
        *("sandbox process", "sandbox namespace", "sandbox gvisor", "sandbox container"),
    ]
    assert levels["sandbox namespace"]["ok"]
    assert "memory_bytes" in levels["sandbox namespace"]["detail"]
    assert levels["sandbox process"]["detail"].endswith("given sandbox namespace")
    for row in levels.values():  # each tells what it keeps, or how to get it
        assert "enforces" in row["detail"] or "given" in row["detail"] or not row["ok"]


def test_tools_of_a_file_and_what_is_wrong_with_one(alone: Environment, tmp_path: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text(
        "from codin import tool\n\n\n@tool\ndef shout(text: str) -> str:\n"
        '    """Make it loud."""\n    return text.upper()\n'
    )
    settings = tmp_path / "codin.toml"
    settings.write_text('tools = ["good.py"]')
    listed = codin("tools", "--json", env=alone, cwd=tmp_path)
    assert "shout" in listed.stdout, listed.stderr
    settings.write_text('tools = ["broken.py", "good.py"]')
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    broken = codin("tools", env=alone, cwd=tmp_path)
    assert "shout" in broken.stdout
    assert "broken.py: it does not import: ModuleNotFoundError" in broken.stderr
    assert "Traceback" not in broken.stderr
