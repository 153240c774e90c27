"""`codin bench`: what the platform does beside what people would use instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codin.cli.exits import ExitCode
from codin.cli.output import json_option, print_json, print_rows

if TYPE_CHECKING:
    from codin.bench import BenchReport


@click.group()
def bench() -> None:
    """Measure a part of the platform beside what people would use instead."""


F = TypeVar("F", bound=Callable[..., Any])


def _effort(command: F) -> F:
    """Add the options that all have: ``--rounds``, ``--quick`` and ``--json``."""
    quick = "Only see that it works: the figures say nothing."
    for option in (
        json_option,
        click.option("--quick", is_flag=True, help=quick),
        click.option("--rounds", type=click.IntRange(1), help="Of which the medians are given."),
    ):
        command = option(command)
    return command


@bench.command()
@_effort
def gateway(**given: Any) -> int:
    """The gateway beside a plain server of the A2A SDK with the same agent. Takes some minutes."""
    from codin.bench import gateway as measured

    return _measured(measured, **given)


@bench.command()
@_effort
def sandbox(**given: Any) -> int:
    """Sandboxes beside plain processes, docker run and docker exec. Takes some minutes."""
    from codin.bench import sandbox as measured

    return _measured(measured, **given)


@bench.command()
@_effort
@click.option("--framework", "names", multiple=True, help="Only this one; may be repeated.")
def agents(names: tuple[str, ...], **given: Any) -> int:
    """Agents in process and in hosts beside their frameworks alone. Takes some minutes."""
    from codin.bench import agents as measured

    if unknown := set(names) - set(measured.NAMES):
        known = ", ".join(measured.NAMES)
        raise click.UsageError(f"{', '.join(sorted(unknown))}: choose of {known}")
    return _measured(measured, names or measured.NAMES, **given)


@bench.command()
@_effort
def tools(**given: Any) -> int:
    """Calls of tools beside calling the same thing without the platform. Takes a minute."""
    from codin.bench import tools as measured

    return _measured(measured, **given)


@bench.command()
@_effort
def memory(**given: Any) -> int:
    """Searches among 100,000 chunks beside numpy and FTS5 alone. Takes two minutes."""
    from codin.bench import memory as measured

    return _measured(measured, **given)


@bench.command()
@_effort
def tasks(**given: Any) -> int:
    """Steps, goals and recovery beside DBOS and LangGraph's checkpointer. Takes some minutes."""
    from codin.bench import tasks as measured

    return _measured(measured, **given)


def _measured(
    measured: Any, *chosen: object, rounds: int | None, quick: bool, as_json: bool
) -> int:
    """Have a module of ``codin.bench`` measure, and show what it found."""
    effort = measured.QUICK if quick else measured.Effort()
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    _show(measured.run(effort, _say, *chosen), as_json=as_json)
    return ExitCode.OK


def _say(text: str) -> None:
    click.echo(text, err=True)


def _show(report: BenchReport, *, as_json: bool) -> None:
    found = report.to_json()
    if as_json:
        print_json(found)
        return
    rows = [{**row, "ratio": f"{row['ratio']:.3g}"} for row in found["results"]]
    if any("aim" in row for row in rows):
        print_rows(
            map(_short, rows), ("metric", "value", "baseline", "ratio", "aim"), as_json=False
        )
    else:
        columns = ("metric", "value", "unit", "baseline", "baseline_value", "ratio", "runs")
        print_rows(rows, columns, as_json=False)
    for one in found.get("unavailable", ()):
        click.echo(f"{one['metric']}: unavailable: {one['reason']}")


def _short(row: dict[str, Any]) -> dict[str, str]:
    """A figure with an aim, in few enough columns for a terminal."""
    unit = f" {row['unit']}".rstrip()
    return {
        "metric": row["metric"],
        "value": f"{row['value']:g}{unit}",
        "baseline": f"{row['baseline']} {row['baseline_value']:g}",
        "ratio": row["ratio"],
        "aim": f"{row['aim']}: {'yes' if row['reached'] else 'no'}" if row["aim"] else "",
    }
