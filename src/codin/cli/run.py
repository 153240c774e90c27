"""`codin run`: a goal in words, from its plan to its answer."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from codin.cli.options import Overrides, platform_options
from codin.cli.output import json_option
from codin.cli.watching import interruptible, see_through
from codin.errors import InvalidInputError

if TYPE_CHECKING:
    from codin.cli.render import Renderer
    from codin.config import Settings
    from codin.gateway.platform import Platform


@click.command()
@click.argument("goal", required=False)
@json_option
@platform_options
def run(goal: str | None, as_json: bool, overrides: Overrides) -> int:
    """Plan a GOAL, have agents do it, and print the answer. `-` reads it from stdin.

    On a terminal you are asked what the agents ask, and which calls they may make where a policy
    wants that approved. Elsewhere, and with --json, the task waits: see codin tasks answer.

    With --json each event of the task is a line, and the last line is its end. The exit code is 0
    when the goal was reached, 1 when not, 2 for bad input, 3 without a model, 4 when somebody has
    to answer first, 130 when it was interrupted.
    """
    text = _goal(goal, overrides.settings())

    async def begin(platform: Platform, screen: Renderer) -> str:
        from codin.security import LOCAL_USER

        return await platform.submit(LOCAL_USER, text)

    return asyncio.run(interruptible(see_through(overrides, begin, as_json=as_json)))


def _goal(given: str | None, settings: Settings) -> str:
    text = sys.stdin.read() if given == "-" else given
    text = settings.goal.default if text is None else text
    if text is None or not text.strip():
        raise InvalidInputError(
            "the goal is empty: say in words what is to be done, as in codin run 'How many rows"
            " has data/sales.csv?'"
        )
    return text
