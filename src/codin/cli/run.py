"""`codin run`: a goal in words, from its plan to its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codin.cli.options import Overrides, goal_of, platform_options
from codin.cli.output import json_option
from codin.cli.watching import interruptible, see_through
from codin.errors import InvalidInputError

if TYPE_CHECKING:
    from codin.agent.planning.plan import Plan
    from codin.cli.render import Renderer
    from codin.gateway.platform import Platform


@click.command()
@click.argument("goal", required=False)
@click.option(
    "--plan", "file", type=click.Path(path_type=Path), help="A plan in YAML, to be kept to."
)
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="For the plan.")
@json_option
@platform_options
def run(
    goal: str | None,
    file: Path | None,
    inputs: tuple[str, ...],
    as_json: bool,
    overrides: Overrides,
) -> int:
    """Plan a GOAL, have agents do it, and print the answer. `-` reads it from stdin.

    With --plan the goal is done by the steps in that file, and may be left out: then it is the one
    that stands there. --input gives the plan's inputs their values, JSON where that is no text.

    On a terminal you are asked what the agents ask, and which calls they may make where a policy
    wants that approved. Elsewhere, and with --json, the task waits: see codin tasks answer.

    With --json each event of the task is a line, and the last line is its end. The exit code is 0
    when the goal was reached, 1 when not, 2 for bad input, 3 without a model, 4 when somebody has
    to answer first, 130 when it was interrupted.
    """
    plan = _plan(file, inputs)
    text = goal_of(goal if goal is not None or plan is None else plan.goal, overrides.settings())

    async def begin(platform: Platform, screen: Renderer) -> str:
        from codin.security import LOCAL_USER

        return await platform.submit(LOCAL_USER, text, plan)

    return asyncio.run(interruptible(see_through(overrides, begin, as_json=as_json)))


def _plan(file: Path | None, inputs: tuple[str, ...]) -> Plan | None:
    from codin.agent.planning.document import named_values, read_plan, with_values

    if file is None:
        if inputs:
            raise InvalidInputError("--input is for a plan: give --plan FILE too")
        return None
    return with_values(read_plan(file), named_values(inputs))
