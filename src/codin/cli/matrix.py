"""`codin matrix`: every workload on every backend, run for real on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from codin.cli.exits import ExitCode
from codin.cli.output import json_option, print_json, print_rows

if TYPE_CHECKING:
    from codin.runtime.matrix import Cell


@click.command()
@click.option(
    "--backend", "backends", multiple=True, metavar="NAME", help="Only these. Repeatable."
)
@json_option
def matrix(backends: tuple[str, ...], as_json: bool) -> int:
    """Every workload on every backend, run for real on this machine.

    A cell is ok with the seconds that it took, unsupported, unavailable here (and how to get it),
    or failed, and then the exit code is 1.
    """
    from codin.runtime.matrix import examine

    cells = asyncio.run(examine(backends or None))
    if as_json:
        print_json({"cells": [cell.to_json() for cell in cells]})
    else:
        _print_table(cells)
    return ExitCode.FAILED if any(cell.status == "failed" for cell in cells) else ExitCode.OK


def _print_table(cells: Sequence[Cell]) -> None:
    kinds = list(dict.fromkeys(cell.workload for cell in cells))
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        rows.setdefault(cell.backend, {"backend": cell.backend})[cell.workload] = _shown(cell)
    print_rows(rows.values(), ("backend", *kinds), as_json=False)
    told: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.status in {"failed", "unavailable"}:
            told.setdefault((cell.backend, cell.detail), []).append(cell.workload)
    for (backend, detail), which in told.items():
        click.echo(f"\n{backend} ({', '.join(which)}): {detail}")


def _shown(cell: Cell) -> str:
    if cell.status == "ok":
        quick = cell.seconds < 1
        return f"ok {cell.seconds * 1000:.0f} ms" if quick else f"ok {cell.seconds:.1f} s"
    return {"unsupported": "-", "unavailable": "not here"}.get(cell.status, cell.status)
