"""What each framework's agents can do, as the suite of agents found it.

A plugin of pytest that writes down how the suite's tests end, and what makes a table of it::

    python -m codin.testing.support tests/agent --write docs/support.md

One row is a framework, one column a behaviour. Where a framework lacks one, the test that shows it
lacking is named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from codin.agent.frameworks import FRAMEWORKS
from codin.testing._agent_base import BEHAVIOURS, AgentSuite, bare_test

FILE = "CODIN_SUPPORT"
"""The environment variable that names the file to which results are added, one JSON a line."""

IN_HOST = "in a host"
"""The column of the tests in which an agent runs in a host; they say so by the property
``support``, whose value is the row's title."""

COLUMNS = (*BEHAVIOURS, IN_HOST)

_MARKS = {
    "yes": "✓",
    "host": "✓ (host)",
    "no": "no",
    "owed": "not yet",
    "failed": "**fails**",
    "": "",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: how a test ended (``yes``, ``failed``), or what a suite says of a
    behaviour (``no``, ``host``, ``owed``), and why; or the framework's ``version``."""

    title: str
    behaviour: str
    found: str
    test: str = ""
    why: str = ""


@dataclass(slots=True)
class Cell:
    """What is known of one behaviour of one framework."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def found(self) -> str:
        kinds = {finding.found for finding in self.findings}
        return next((kind for kind in ("failed", "owed", "no", "host", "yes") if kind in kinds), "")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down what the suites that are run say of themselves."""
    suites = {
        item.cls
        for item in session.items
        if isinstance(item, pytest.Function) and item.cls and issubclass(item.cls, AgentSuite)
    }
    for suite in sorted(suites, key=lambda suite: suite.__name__):
        _write(_said_by(suite))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Write down how a test of a behaviour ended."""
    report = (yield).get_result()
    ended = report.when == "call" or report.failed
    if ended and not report.skipped:
        found = "failed" if report.failed else "yes"
        _write(Finding(title, name, found, item.nodeid) for title, name in _about(item))


def read(file: Path) -> list[Finding]:
    """The findings in ``file``."""
    return [Finding(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]


def table(findings: Iterable[Finding]) -> str:
    """The page: the table in Markdown, and what its cells that say no refer to."""
    rows: dict[str, dict[str, Cell]] = defaultdict(lambda: defaultdict(Cell))
    versions: dict[str, str] = {}
    for finding in findings:
        if finding.found == "version":
            versions[finding.title] = finding.why
        else:
            rows[finding.title][finding.behaviour].findings.append(finding)
    notes: list[str] = []
    titles = sorted(rows, key=_place)
    lines = [
        f"| | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
        *(_row(title, rows[title], versions.get(title, ""), notes) for title in titles),
    ]
    return "\n".join([_HEAD, *lines, "", *notes]).rstrip() + "\n"


_HEAD = """# What agents of each framework can do

Made by `python -m codin.testing.support tests/agent --write docs/support.md` from the tests: `✓`
is what the suite of agents (`codin.testing.agent_conformance`) found to hold, for the version
given, each behaviour the same for all. Where the framework itself lacks one, the note names the
test that shows the framework alone failing at it.
"""


def _row(title: str, cells: dict[str, Cell], version: str, notes: list[str]) -> str:
    shown = [f"{title} {version}".strip()]
    for name in COLUMNS:
        cell = cells[name]
        mark = _MARKS[cell.found]
        why = {f.why: f.test for f in cell.findings if f.why and f.found == cell.found}
        for reason, test in why.items():
            shown_by = f" (`{test}`)" if test else ""
            notes.append(f"{len(notes) + 1}. {title}, {name}: {reason}{shown_by}")
            mark += f" [{len(notes)}]"
        shown.append(mark)
    return f"| {' | '.join(shown)} |"


def _place(title: str) -> tuple[int, str]:
    titles = [framework.title for framework in FRAMEWORKS.values()]
    return (titles.index(title) if title in titles else len(titles)), title


def _title(suite: type[AgentSuite]) -> str:
    return suite.title or suite.__name__.removeprefix("Test")


def _said_by(suite: type[AgentSuite]) -> Iterable[Finding]:
    title = _title(suite)
    for name, why in suite.cannot.items():
        test = f"{suite.__module__}::{suite.__name__}::{bare_test(name)}"
        yield Finding(title, name, "no", test, why)
    for name, why in suite.in_host.items():
        yield Finding(title, name, "host", why=why)
    for name in suite.owes:
        yield Finding(title, name, "owed")
    if given := _version(title):
        yield Finding(title, "", "version", why=given)


def _about(item: pytest.Item) -> list[tuple[str, str]]:
    """The rows and columns of which a test is."""
    about = [(str(value), IN_HOST) for name, value in item.user_properties if name == "support"]
    if isinstance(item, pytest.Function) and item.cls and issubclass(item.cls, AgentSuite):
        names = getattr(item.function, "behaviours", ())[:1]
        about += [(_title(item.cls), name) for name in names]
    return about


def _write(findings: Iterable[Finding]) -> None:
    if file := os.environ.get(FILE):
        with Path(file).open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(asdict(finding)) + "\n" for finding in findings)


def _version(title: str) -> str:
    """The version of the framework ``title`` that is tested here; empty when it is none."""
    for framework in FRAMEWORKS.values():
        if framework.title == title and framework.installed:
            return version(framework.distribution)
    return ""


def main(arguments: Sequence[str]) -> int:
    """Run the tests and write the page; what pytest gives is given."""
    import click

    @click.command()
    @click.argument("paths", nargs=-1, required=True)
    @click.option("--write", "page", type=click.Path(dir_okay=False, path_type=Path), required=True)
    def support(paths: tuple[str, ...], page: Path) -> int:
        """Run the tests below PATHS, and write the table of what they found."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "findings")
            file.touch()
            command = [
                sys.executable,
                *["-m", "pytest", "-q", "-p", "codin.testing.support"],
                *paths,
            ]
            env = {**os.environ, FILE: str(file)}
            code = subprocess.run(command, env=env, check=False).returncode
            page.write_text(table(read(file)), "utf-8")
        return code

    return int(support.main(list(arguments), standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
