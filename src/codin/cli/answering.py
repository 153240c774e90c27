"""`codin tasks answer` and `resume`: a task that waits goes on, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.cli.tasks import named, open_log, plain
from codin.cli.watching import see_through
from codin.errors import InvalidInputError
from codin.security import LOCAL_USER

if TYPE_CHECKING:
    from codin.cli.options import Overrides
    from codin.cli.render import Renderer
    from codin.gateway.platform import Platform
    from codin.task.log.rows import TaskRow


async def answer_task(beginning: str, answer: str, overrides: Overrides, *, as_json: bool) -> int:
    """Send ``answer`` to the task whose id begins so, and show it from there to its end; gives the
    exit code.

    Raises:
        UnknownTask: there is none.
        InvalidInputError: it waits for no answer, or does not take this one.
    """
    async with open_log(overrides.config) as log:
        row = await log.task(LOCAL_USER, await named(log, beginning))
        check_waits(row)

    async def begin(platform: Platform, screen: Renderer) -> str:
        await _catch_up(platform, row, screen)
        await platform.answer(LOCAL_USER, row.task_id, answer)
        return row.task_id

    return await see_through(overrides, begin, as_json=as_json)


async def resume_task(beginning: str, overrides: Overrides, *, as_json: bool) -> int:
    """Have the task whose id begins so go on, and show it from there to its end; gives the exit
    code.

    Raises:
        UnknownTask: there is none.
        InvalidInputError: it has ended, or waits for an answer.
    """
    async with open_log(overrides.config) as log:
        row = await log.task(LOCAL_USER, await named(log, beginning))
        check_goes_on(row)

    async def begin(platform: Platform, screen: Renderer) -> str:
        await _catch_up(platform, row, screen)
        if not await platform.manager.runner.control.take(LOCAL_USER, row.task_id):
            screen.say("another process has it: it goes on there")
        return row.task_id

    return await see_through(overrides, begin, as_json=as_json)


def check_goes_on(row: TaskRow) -> None:
    """Return when the task can go on without anything more.

    Raises:
        InvalidInputError: it cannot; the error says how it stands, and what to do.
    """
    if row.interrupted:
        raise InvalidInputError(
            f"task {row.task_id} waits for an answer: codin tasks answer {row.task_id} ANSWER"
        )
    if row.ended:
        raise InvalidInputError(f"task {row.task_id} has ended: it is {plain(row.state)}")
    if row.parent_id is not None:
        raise InvalidInputError(
            f"task {row.task_id} is a part of task {row.goal_id}: resume that one"
        )


def check_waits(row: TaskRow) -> None:
    """Return when the task itself waits for an answer.

    Raises:
        InvalidInputError: it does not; the error says how it stands, and what to do.
    """
    if not row.interrupted:
        raise InvalidInputError(
            f"task {row.task_id} waits for no answer: it is {plain(row.state)}{_meanwhile(row)}"
        )
    if row.parent_id is not None:
        raise InvalidInputError(
            f"task {row.task_id} is a part of task {row.goal_id}, which asks in its place: answer"
            " that one"
        )


def _meanwhile(row: TaskRow) -> str:
    from codin.task.owner import is_dead

    if row.ended:
        return ""
    if row.owner is None or row.expired or is_dead(row.owner):
        return f", and the process that did it is gone: codin tasks resume {row.task_id}"
    return f", in another process; to follow it: codin tasks replay --follow {row.task_id}"


async def _catch_up(platform: Platform, row: TaskRow, screen: Renderer) -> None:
    """Have the screen know what was before."""
    while screen.view.seq < row.last_seq:
        for event in await platform.log.read(LOCAL_USER, row.task_id, screen.view.seq):
            screen.catch_up(event)
