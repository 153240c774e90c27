"""``python -m codin.testing.escapes``: make the attempts, print what came of each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from codin.sandbox.errors import SandboxUnavailable
from codin.testing.escapes import ATTEMPTS, FAMILIES, PLACES, Attempt, run_controls, run_place
from codin.testing.escapes.report import write as write_page
from codin.testing.escapes.user import UNAVAILABLE, can_be_somebody_else, escapes_of_nobody

Rows = dict[str, dict[str, Any]]


@click.command()
@click.option("--place", type=click.Choice(sorted(PLACES)), default="local", show_default=True)
@click.option("--controls", is_flag=True, help="Run the positive controls instead.")
@click.option("--only", multiple=True, help="Only attempts whose id begins so.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--write", type=click.Path(path_type=Path), help="Run everything, write the page.")
def main(
    *, place: str, controls: bool, only: tuple[str, ...], as_json: bool, write: Path | None
) -> None:
    """Try to get out of a sandbox in every way that is known here. Ends with 1 if any does."""
    if write is not None:
        run = _everything()
        write_page(write, FAMILIES, run)
        failed = [n for rows in run["places"].values() for n in _failed(rows)]
        failed += [n for rows in run["controls"].values() for n in _failed(rows)]
        click.echo(f"{len(ATTEMPTS)} attempts in {', '.join(run['places'])}; failed: {failed}")
        sys.exit(1 if failed else 0)
    chosen = [attempt for attempt in ATTEMPTS if not only or attempt.id.startswith(only)]
    try:
        rows = _controls(chosen) if controls else _place(place, chosen)
    except SandboxUnavailable as error:
        click.echo(str(error), err=True)
        sys.exit(UNAVAILABLE)
    failed = _failed(rows)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        for name, row in rows.items():
            click.echo(f"{'FAIL ' if name in failed else ''}{name}: {row}")
        click.echo(f"{len(rows)} made, {len(failed)} failed")
    sys.exit(1 if failed else 0)


def _place(name: str, attempts: Sequence[Attempt]) -> Rows:
    results = asyncio.run(run_place(PLACES[name], attempts))
    return {result.id: asdict(result) for result in results}


def _controls(attempts: Sequence[Attempt]) -> Rows:
    outcomes = asyncio.run(run_controls(attempts))
    return {a.id: asdict(outcomes[a.id]) for a in attempts if a.id in outcomes}


def _failed(rows: Rows) -> list[str]:
    good = {"held", "absent"}
    return [n for n, row in rows.items() if not row.get("got", row.get("status") in good)]


def _everything() -> dict[str, dict[str, Rows]]:
    places, controls = {}, {"root" if can_be_somebody_else() else "user": _controls(ATTEMPTS)}
    for place in PLACES.values():
        try:
            places[place.title] = _place(place.name, ATTEMPTS)
        except SandboxUnavailable as error:
            click.echo(f"{place.title}: {error}", err=True)
            continue
        if place.by_anybody and can_be_somebody_else():
            with contextlib.suppress(SandboxUnavailable):
                places[f"{place.title}, a user"] = escapes_of_nobody("--place", place.name)
    if can_be_somebody_else():
        controls["a user"] = escapes_of_nobody("--controls")
    return {
        "places": {name: _short(rows, "status") for name, rows in places.items()},
        "controls": {name: _short(rows, "got") for name, rows in controls.items()},
    }


def _short(rows: Rows, what: str) -> Rows:
    """Without times, which differ with each run."""
    kept = (what, "how") if what == "status" else (what,)
    return {name: {key: row[key] for key in kept} for name, row in rows.items()}


if __name__ == "__main__":
    main()
