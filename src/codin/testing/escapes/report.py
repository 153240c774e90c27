"""The page that lists all attempts, with what came of them: made from a run, never by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codin.testing.escapes.base import Attempt

Rows = Mapping[str, Mapping[str, Any]]
"""What came of each attempt, by its id."""

_HEAD = """# Attempts to get out of a sandbox

Made by `python -m codin.testing.escapes --write docs/security/escapes.md`, which runs all of it; \
what the run gave is in `escapes.json` beside this page.

Each attempt is made in each kind of sandbox, by the suite in `codin.testing.escapes`. None may get
out: it has to end with one of the names in *must be seen*, which are an errno that the kernel gave,
a typed error of the sandbox's, or `nothing` (it ran to its end and found nothing). Beside it stands
its **control**: the same attempt with one protection taken away, which has to get out, so that it
is known to be the protection that held it and not a mistake in the attempt.

While the attempts run, a loop on the host measures by how much it is late; afterwards the suite
looks for processes, mounts, control groups, files and descriptors that were left behind.
"""

_NOT_HELD = """## What is not held

- A **normal user where no control group can be written** (`codin doctor`: kept by `watchdog`): \
memory, processes and disk are looked at some twenty times a second, and what goes over is ended a \
little late. Code that means to can hide part of what it holds from that: files without a name \
in a process that has closed itself to tracing, descriptors on their way through a socket, and \
what the kernel buffers in sockets. Root, a delegated control group and Docker do not have this gap.
- **What the kernel counts for a user and not for a namespace**: instances of inotify (128 by \
default), and pipes beyond 64 MiB together. Code inside a local sandbox can use these up for other \
processes of the user that the platform runs as.
- **Names**: `/proc/self/mountinfo` inside a local sandbox tells from which folders of the host \
its mounts come, but nothing that is in them.
"""


def page(families: Mapping[str, tuple[Attempt, ...]], run: Mapping[str, Any]) -> str:
    """The page for what a run gave, as ``load`` reads it."""
    places: Mapping[str, Rows] = run["places"]
    controls: Mapping[str, Rows] = run["controls"]
    parts = [_HEAD, _summary(families, places, controls)]
    for family, attempts in families.items():
        titles = ["attempt", "tries to", "must be seen", *places, "control"]
        rows = [titles, ["---"] * len(titles)]
        rows += [_row(attempt, places, controls) for attempt in attempts]
        lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
        parts.append(f"## {family}\n\n" + "\n".join(lines) + "\n")
    return "\n".join([*parts, _NOT_HELD])


def load(page_path: Path) -> dict[str, Any]:
    """What the run gave from which a page was made."""
    found: dict[str, Any] = json.loads(page_path.with_suffix(".json").read_text(encoding="utf-8"))
    return found


def write(
    page_path: Path, families: Mapping[str, tuple[Attempt, ...]], run: Mapping[str, Any]
) -> None:
    """Write the page, and what it was made from beside it."""
    text = json.dumps(run, indent=1, sort_keys=False) + "\n"
    page_path.parent.mkdir(parents=True, exist_ok=True)
    page_path.with_suffix(".json").write_text(text, encoding="utf-8")
    page_path.write_text(page(families, run), encoding="utf-8")


def _summary(
    families: Mapping[str, tuple[Attempt, ...]],
    places: Mapping[str, Rows],
    controls: Mapping[str, Rows],
) -> str:
    attempts = [attempt for family in families.values() for attempt in family]
    lines = [f"{len(attempts)} attempts.", "", "| where | made | held | absent | escaped |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, rows in places.items():
        kinds = [row["status"] for row in rows.values()]
        absent, held = kinds.count("absent"), kinds.count("held")
        made = len(kinds) - absent
        lines.append(f"| {name} | {made} | {held} | {absent} | {made - held} |")
    lines += ["", "| controls run as | run | got out |", "| --- | --- | --- |"]
    for name, rows in controls.items():
        lines.append(f"| {name} | {len(rows)} | {sum(row['got'] for row in rows.values())} |")
    return "\n".join(lines) + "\n"


def _row(attempt: Attempt, places: Mapping[str, Rows], controls: Mapping[str, Rows]) -> list[str]:
    cells = [f"`{attempt.id}`", attempt.tries, ", ".join(attempt.sees)]
    for rows in places.values():
        row = rows.get(attempt.id)
        cells.append("not run" if row is None else _came(row))
    ran = [name for name, rows in controls.items() if rows.get(attempt.id, {}).get("got")]
    words = attempt.control.words
    cells.append(f"{words}: gets out ({', '.join(ran)})" if ran else f"not run: {words}")
    return cells


def _came(row: Mapping[str, Any]) -> str:
    if row["status"] == "absent":
        return f"means nothing here: {row['how']}"
    return f"{row['status']}: {row['how']}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
