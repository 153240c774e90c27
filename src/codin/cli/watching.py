"""A task on the command line, from where it stands to its end: what it asks is asked here."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from codin.agent.events import AgentEvent, Canceled, Completed, InputRequest
from codin.cli.exits import ExitCode
from codin.errors import InvalidInputError
from codin.security import LOCAL_USER
from codin.signals import on_signals

if TYPE_CHECKING:
    from codin.cli.asking import Asker
    from codin.cli.options import Overrides
    from codin.cli.render import Renderer
    from codin.gateway.platform import Platform

    Begin = Callable[[Platform, Renderer], Awaitable[str]]

CLEAN_UP_SECONDS = 15.0


async def interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Ctrl-C and SIGTERM cancel ``work``, which then puts everything away."""
    task = asyncio.ensure_future(work)
    with on_signals(task.cancel):
        try:
            return await task
        except asyncio.CancelledError:
            return ExitCode.INTERRUPTED


async def see_through(overrides: Overrides, begin: Begin, *, as_json: bool) -> int:
    """Open the platform, have ``begin`` begin a task in it or go on with one and give its id, and
    show that until its end; gives the exit code."""
    from codin.cli.asking import asker_for
    from codin.cli.render import renderer_for
    from codin.gateway.opening import open_platform
    from codin.model import discover

    settings = overrides.settings()
    choice = await discover(settings.model)
    with renderer_for(as_json=as_json) as screen:
        screen.say(f"model: {choice.label} ({choice})")
        async with open_platform(settings, choice, say=screen.say, takes_over=False) as platform:
            for problem in platform.problems:
                screen.say(str(problem))
            task_id = await begin(platform, screen)
            await _watch(task_id, platform, screen, asker_for(screen.console, as_json=as_json))
    end = screen.view.end
    if isinstance(end, Completed):
        screen.say("to see it on a page, and more: codin up")
    elif isinstance(end, InputRequest):
        screen.say(f"to answer: {_command(screen.view.task_id, end, overrides)}")
    return _code(end)


async def _watch(task_id: str, platform: Platform, screen: Renderer, asker: Asker | None) -> None:
    """Show the task until its end, and have ``asker`` answer what it asks. When that is cancelled,
    cancel the task and show its end."""
    try:
        await _show(platform, task_id, screen)
        while asker is not None and isinstance(request := screen.view.end, InputRequest):
            with screen.aside():
                answer = await asker.ask(request)
            if answer is None:
                return
            await _answer(platform, task_id, answer, request.request_id, screen)
            await _show(platform, task_id, screen)
    except asyncio.CancelledError:
        screen.say("interrupted: ending what runs ...")
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            await platform.cancel(LOCAL_USER, task_id, "interrupted by its user")
            await _show(platform, task_id, screen)
        raise


async def _answer(
    platform: Platform, task_id: str, answer: str, question: str, screen: Renderer
) -> None:
    try:
        await platform.answer(LOCAL_USER, task_id, answer, question)
    except InvalidInputError as error:
        # somebody else may have answered meanwhile; if not, it is asked again
        screen.say(str(error))


async def _show(platform: Platform, task_id: str, screen: Renderer) -> None:
    from codin.task.log.follow import follow
    from codin.task.states import STOPPED

    async for event in follow(
        platform.log, LOCAL_USER, task_id, after=screen.view.seq, until=STOPPED
    ):
        screen.apply(event)


def _command(task_id: str, asked: InputRequest, overrides: Overrides) -> str:
    """What is to be typed to answer from here."""
    flags = map(shlex.quote, overrides.arguments)
    answer = "yes" if asked.request_kind == "approval" else "ANSWER"
    return " ".join(["codin tasks answer", task_id, f'"{answer}"', *flags])


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
