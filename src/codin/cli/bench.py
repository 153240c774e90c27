"""`codin bench`: what the platform does beside what people would use instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def _say(text: str) -> None:
    click.echo(text, err=True)


def _show(report: BenchReport, *, as_json: bool) -> None:
    found = report.to_json()
    if as_json:
        print_json(found)
        return
    print_rows(
        [{**row, "ratio": f"{row['ratio']:.2f}"} for row in found["results"]],
        ("metric", "value", "unit", "baseline", "baseline_value", "ratio", "runs"),
        as_json=False,
    )
