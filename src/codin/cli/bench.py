"""`codin bench`: what the platform does beside what people would use instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from codin.cli.exits import ExitCode
from codin.cli.output import json_option, print_json, print_rows

if TYPE_CHECKING:
    from codin.bench import BenchReport


@click.group()
def bench() -> None:
    """Measure a part of the platform beside what people would use instead."""


@bench.command()
@click.option("--rounds", type=click.IntRange(1), help="Of which the medians are given.")
@click.option("--quick", is_flag=True, help="Only see that it works: the figures say nothing.")
@json_option
def gateway(rounds: int | None, quick: bool, as_json: bool) -> int:
    """The gateway beside a plain server of the A2A SDK with the same agent. Takes some minutes."""
    from dataclasses import replace

    from codin.bench.gateway import QUICK, Effort, run

    effort = QUICK if quick else Effort()
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    _show(run(effort, _say), as_json=as_json)
    return ExitCode.OK


@bench.command()
@click.option("--rounds", type=click.IntRange(1), help="Of which the medians are given.")
@click.option("--quick", is_flag=True, help="Only see that it works: the figures say nothing.")
@json_option
def sandbox(rounds: int | None, quick: bool, as_json: bool) -> int:
    """Sandboxes beside plain processes, docker run and docker exec. Takes some minutes."""
    from dataclasses import replace

    from codin.bench.sandbox import QUICK, Effort, run

    effort = QUICK if quick else Effort()
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    _show(run(effort, _say), as_json=as_json)
    return ExitCode.OK


@bench.command()
@click.option("--rounds", type=click.IntRange(1), help="Of which the medians are given.")
@click.option("--quick", is_flag=True, help="Only see that it works: the figures say nothing.")
@click.option("--framework", "names", multiple=True, help="Only this one; may be repeated.")
@json_option
def agents(rounds: int | None, quick: bool, names: tuple[str, ...], as_json: bool) -> int:
    """Agents in process and in hosts beside their frameworks alone. Takes some minutes."""
    from dataclasses import replace

    from codin.bench.agents import NAMES, QUICK, Effort, run

    if unknown := set(names) - set(NAMES):
        raise click.UsageError(f"{', '.join(sorted(unknown))}: choose of {', '.join(NAMES)}")
    effort = QUICK if quick else Effort()
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    _show(run(effort, _say, names or NAMES), as_json=as_json)
    return ExitCode.OK


@bench.command()
@click.option("--rounds", type=click.IntRange(1), help="Of which the medians are given.")
@click.option("--quick", is_flag=True, help="Only see that it works: the figures say nothing.")
@json_option
def tools(rounds: int | None, quick: bool, as_json: bool) -> int:
    """Calls of tools beside calling the same thing without the platform. Takes a minute."""
    from dataclasses import replace

    from codin.bench.tools import QUICK, Effort, run

    effort = QUICK if quick else Effort()
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    _show(run(effort, _say), as_json=as_json)
    return ExitCode.OK


@bench.command()
@click.option("--rounds", type=click.IntRange(1), help="Of which the medians are given.")
@click.option("--quick", is_flag=True, help="Only see that it works: the figures say nothing.")
@json_option
def memory(rounds: int | None, quick: bool, as_json: bool) -> int:
    """Searches among 100,000 chunks beside numpy and FTS5 alone. Takes two minutes."""
    from dataclasses import replace

    from codin.bench.memory import QUICK, Effort, run

    effort = QUICK if quick else Effort()
    if rounds is not None:
        effort = replace(effort, rounds=rounds)
    _show(run(effort, _say), as_json=as_json)
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
