"""`codin agents`: who is there."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from codin.cli.exits import ExitCode
from codin.cli.options import Overrides, platform_options
from codin.cli.output import json_option, print_rows


@click.command()
@json_option
@platform_options
def agents(as_json: bool, overrides: Overrides) -> int:
    """The agents of the settings, each brought up to see that it comes up."""
    rows, problems = asyncio.run(_found(overrides))
    columns = ("id", "framework", "isolation", "tools", "description")
    if not as_json:
        rows = [{**row, "tools": ", ".join(row["tools"])} for row in rows]
    print_rows(rows, columns, as_json=as_json)
    for problem in problems:
        click.echo(f"left out {problem}", err=True)
    return ExitCode.FAILED if problems else ExitCode.OK


async def _found(overrides: Overrides) -> tuple[list[dict[str, Any]], list[str]]:
    from dataclasses import asdict

    from codin.gateway.platform import open_team

    async with open_team(overrides.settings()) as team:
        rows = [asdict(info) for info in team.infos]
        return rows, [f"{problem.source}: {problem.message}" for problem in team.problems]
