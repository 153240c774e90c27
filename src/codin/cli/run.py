"""`codin run`: a goal in words, from its plan to its answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from codin.agent.events import Canceled, Completed, InputRequest
from codin.cli.exits import ExitCode
from codin.cli.options import Overrides, platform_options
from codin.cli.output import json_option
from codin.errors import InvalidInputError
from codin.signals import on_signals

if TYPE_CHECKING:
    from codin.agent.events import AgentEvent
    from codin.cli.render import Renderer
    from codin.config import Settings
    from codin.gateway.platform import Platform

CLEAN_UP_SECONDS = 15.0


@click.command()
@click.argument("goal", required=False)
@json_option
@platform_options
def run(goal: str | None, as_json: bool, overrides: Overrides) -> int:
    """Plan a GOAL, have agents do it, and print the answer. `-` reads it from stdin.

    With --json each event of the task is a line, and the last line is its end. The exit code is 0
    when the goal was reached, 1 when not, 2 for bad input, 3 without a model, 4 when somebody has
    to answer first, 130 when it was interrupted.
    """
    settings = overrides.settings()
    text = _goal(goal, settings)
    return asyncio.run(interruptible(_run(text, settings, as_json=as_json)))


async def interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Ctrl-C and SIGTERM cancel ``work``, which then puts everything away."""
    task = asyncio.ensure_future(work)
    with on_signals(task.cancel):
        try:
            return await task
        except asyncio.CancelledError:
            return ExitCode.INTERRUPTED


def _goal(given: str | None, settings: Settings) -> str:
    text = sys.stdin.read() if given == "-" else given
    text = settings.goal.default if text is None else text
    if text is None or not text.strip():
        raise InvalidInputError(
            "the goal is empty: say in words what is to be done, as in codin run 'How many rows"
            " has data/sales.csv?'"
        )
    return text


async def _run(goal: str, settings: Settings, *, as_json: bool) -> int:
    from codin.cli.render import renderer_for
    from codin.gateway.platform import open_platform
    from codin.model import discover

    choice = await discover(settings.model)
    with renderer_for(as_json=as_json) as screen:
        screen.say(f"model: {choice.label} ({choice})")
        async with open_platform(settings, choice, say=screen.say) as platform:
            for problem in platform.problems:
                screen.say(f"left out {problem.source}: {problem.message}")
            await _watch(goal, platform, screen)
    end = screen.view.end
    if isinstance(end, Completed):
        screen.say("to see it on a page, and more: codin up")
    return _code(end)


async def _watch(goal: str, platform: Platform, screen: Renderer) -> None:
    """Show the task until its end; when that is cancelled, cancel the task and show its end."""
    from codin.security import LOCAL_USER

    task_id = await platform.submit(LOCAL_USER, goal)
    try:
        await _show(platform, task_id, screen)
    except asyncio.CancelledError:
        screen.say("interrupted: ending what runs ...")
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            await platform.cancel(LOCAL_USER, task_id, "interrupted by its user")
            await _show(platform, task_id, screen)
        raise


async def _show(platform: Platform, task_id: str, screen: Renderer) -> None:
    from codin.security import LOCAL_USER
    from codin.task.log.follow import follow
    from codin.task.states import INTERRUPTED, TERMINAL

    async for event in follow(
        platform.log, LOCAL_USER, task_id, after=screen.view.seq, until=TERMINAL | INTERRUPTED
    ):
        screen.apply(event)


def _code(end: AgentEvent | None) -> int:
    match end:
        case Completed():
            return ExitCode.OK
        case InputRequest():
            return ExitCode.NEEDS_INPUT
        case Canceled():
            return ExitCode.INTERRUPTED
        case _:
            return ExitCode.FAILED
