"""`codin plan`: the plan of a goal, to be looked at before anything is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from codin.cli.options import Overrides, goal_of, platform_options
from codin.cli.output import json_option, print_json
from codin.cli.watching import interruptible

if TYPE_CHECKING:
    from codin.agent.planning.plan import Plan


@click.command()
@click.argument("goal", required=False)
@json_option
@platform_options
def plan(goal: str | None, as_json: bool, overrides: Overrides) -> int:
    """Plan a GOAL, do nothing of it, and print the plan in YAML. `-` reads it from stdin.

    Change what you like, and have it done: codin plan GOAL > plan.yaml, and then codin run --plan
    plan.yaml. The exit code is 0 when there is a plan, 1 when none came out that can be run, 2 for
    bad input, 3 without a model.
    """
    text = goal_of(goal, overrides.settings())
    return asyncio.run(interruptible(_plan(text, overrides, as_json=as_json)))


async def _plan(goal: str, overrides: Overrides, *, as_json: bool) -> int:
    from codin.gateway.opening import open_platform
    from codin.model import discover
    from codin.security import LOCAL_USER

    settings = overrides.settings()
    choice = await discover(settings.model)

    def say(text: str) -> None:
        click.echo(text, err=True)

    say(f"model: {choice.label} ({choice})")
    async with open_platform(settings, choice, say=say, takes_over=False) as platform:
        for problem in platform.problems:
            say(str(problem))
        _print(await platform.draft(LOCAL_USER, goal), as_json=as_json)
    return 0


def _print(plan: Plan, *, as_json: bool) -> None:
    import yaml

    data = plan.model_dump(mode="json", exclude_defaults=True)
    if as_json:
        print_json(data)
    else:
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100), nl=False)
