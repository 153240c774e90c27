"""Importing codin is cheap, and the rooms import downwards only."""

import ast
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "codin"

# From top to bottom: a room may import from its own row and from rows below it.
ROWS = [
    {"cli"},
    {"bench"},
    {"gateway"},
    {"evaluation"},
    {"task"},
    {"agent"},
    {"tool"},
    {"runtime"},
    {"sandbox"},
    {"memory", "model"},
    {"config"},
    {"security"},
    {"database"},
    {"private_folder"},
    {
        "disconnect",
        "ending",
        "errors",
        "ids",
        "jsontext",
        "lazy",
        "loop",
        "private_file",
        "process_name",
        "signals",
        "steady_clock",
    },
    {"unix_socket"},
]
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}
# Known by name to everybody above, and knowing nothing of what is above them.
FRAMEWORKS = ("google", "langchain", "langgraph", "agno", "crewai", "ray", "docker", "redis")


def rooms_imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("codin.")}
    return found


def files_of(room: str) -> list[Path]:
    folder = SOURCE / room
    return sorted(folder.rglob("*.py")) or [*SOURCE.glob(f"{room}.py")]


def test_imports_run_downwards_only() -> None:
    wrong = [
        f"{file.relative_to(SOURCE)} imports codin.{other}"
        for room, level in LEVEL.items()
        for file in files_of(room)
        for other in rooms_imported(file) - {room, "testing", "ui"}
        if LEVEL[other] <= level
    ]
    assert wrong == []


def test_importing_codin_pulls_in_no_framework_and_no_server() -> None:
    code = "import sys, codin; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {*FRAMEWORKS, "a2a", "pydantic_ai", "starlette", "uvicorn", "pandas", "httpx", "openai"}
    assert heavy.isdisjoint(loaded)


def test_modules_of_tests_have_names_of_their_own() -> None:
    """Without packages, pytest knows a module by its name alone."""
    files = Path(__file__).parent.rglob("*.py")
    names = [file.name for file in files if file.name != "conftest.py"]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []
