"""`codin tasks`: what was done, straight from the log; no platform has to run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codin.cli.options import Overrides, config_option, platform_options
from codin.cli.output import json_option, print_event, print_json, print_rows
from codin.cli.text import short
from codin.config import load_settings
from codin.errors import InvalidInputError

if TYPE_CHECKING:
    from codin.agent.planning.plan import Plan
    from codin.database import Database
    from codin.task import EventLog
    from codin.task.log.rows import TaskRow

T = TypeVar("T")

_ID_CHARS = 32
_BRIEF_CHARS = 8


@click.group()
def tasks() -> None:
    """List, show, answer, cancel, pause, resume and replay tasks."""


@tasks.command("list")
@config_option
@json_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--all", "everything", is_flag=True, help="Steps of goals too.")
def list_tasks(config: Path | None, as_json: bool, limit: int, everything: bool) -> None:
    """Tasks, the latest first."""

    async def read(log: EventLog) -> list[dict[str, Any]]:
        from codin.security import LOCAL_USER
        from codin.task.log.rows import TaskFilter

        page = await log.tasks(LOCAL_USER, TaskFilter(roots=not everything), limit=limit)
        return [await _row(log, task) for task in page.tasks]

    rows = _with_log(config, read)
    if not as_json:
        rows = [_brief(row) for row in rows]
    agent = ("agent",) if everything else ()
    print_rows(rows, ("task", "state", *agent, "when", "seconds", "goal"), as_json=as_json)


@tasks.command()
@config_option
@json_option
@click.argument("task_id")
def show(config: Path | None, as_json: bool, task_id: str) -> None:
    """A task as A2A's GetTask gives it, or as text: its plan, what was done, its answer.

    TASK_ID may be the beginning of an id, as the list shows it; in the other commands too.
    """

    async def read(log: EventLog) -> None:
        from codin.cli.render import tree
        from codin.task import TaskProjection

        projection = TaskProjection()
        shown = _renderer()
        async for event in _events(log, await named(log, task_id), follow=False):
            projection.apply(event)
            shown.view.apply(event)
        if as_json:
            from google.protobuf.json_format import MessageToDict

            print_json(MessageToDict(projection.task()))
        else:
            shown.console.print(tree(shown.view))
            shown.finish()

    _with_log(config, read)


@tasks.command()
@config_option
@json_option
@click.argument("task_id")
@click.option("--follow", is_flag=True, help="Go on until the task has ended.")
def replay(config: Path | None, as_json: bool, task_id: str, follow: bool) -> None:
    """Print a task's events again, the same as when it ran."""

    async def read(log: EventLog) -> None:
        renderer = _renderer()
        async for event in _events(log, await named(log, task_id), follow=follow):
            if as_json:
                print_event(event)
            else:
                renderer.apply(event)
        if not as_json:
            renderer.finish()

    _with_log(config, read)


@tasks.command()
@config_option
@click.argument("task_id")
def cancel(config: Path | None, task_id: str) -> None:
    """Cancel a task, in whatever process it runs."""

    async def stop(log: EventLog) -> TaskRow:
        from codin.security import LOCAL_USER
        from codin.task import TaskRunner

        runner = TaskRunner(log)
        try:
            return await runner.control.cancel(LOCAL_USER, await named(log, task_id))
        finally:
            await runner.aclose()

    task = _with_log(config, stop)
    click.echo(f"{task.task_id}: {plain(task.state)}")


@tasks.command()
@click.argument("task_id")
@click.argument("answer")
@json_option
@platform_options
def answer(task_id: str, answer: str, as_json: bool, overrides: Overrides) -> int:
    """Answer what a task asks, and have it done from there to its end.

    ANSWER is what you would say: "yes" approves a call, all else denies it and is told to the
    agent. Agents and settings are those with which the task was begun. What is printed and the exit
    code are as those of codin run.
    """
    from codin.cli.answering import answer_task
    from codin.cli.watching import interruptible

    return asyncio.run(interruptible(answer_task(task_id, answer, overrides, as_json=as_json)))


@tasks.command("plan")
@config_option
@click.argument("task_id")
@click.option("--retry", metavar="STEP", help="Do a step again, with all that follows from it.")
@click.option("--skip", metavar="STEP", help="Go on as if a step were done, without its output.")
@click.option("--remove", metavar="STEP", help="Leave out a step that no other needs.")
@click.option("--add", metavar="JSON", help="A step to add, as in a plan in YAML or JSON.")
def change_plan(config: Path | None, task_id: str, **given: str | None) -> None:
    """Change the plan of a goal that is at work: one step at a time.

    What the other steps are doing goes on.
    """
    from codin.agent.planning.edits import edit_of

    edit = edit_of({key: value for key, value in given.items() if value is not None})

    async def change(log: EventLog) -> Plan:
        from codin.security import LOCAL_USER
        from codin.task import TaskRunner
        from codin.task.plan_editing import PlanEditing

        runner = TaskRunner(log, takes_over=False)
        try:
            return await PlanEditing(runner).edit(LOCAL_USER, await named(log, task_id), edit)
        finally:
            await runner.aclose()

    for step in _with_log(config, change).steps:
        click.echo(f"{step.id} ({step.agent}): {step.title or step.instruction}"[:200])


@tasks.command()
@config_option
@click.argument("task_id")
def pause(config: Path | None, task_id: str) -> None:
    """Have a task go no further until it is resumed, in whatever process it runs."""

    async def stop(log: EventLog) -> TaskRow:
        from codin.security import LOCAL_USER

        return await log.request_pause(LOCAL_USER, await named(log, task_id), paused=True)

    click.echo(f"{_with_log(config, stop).task_id}: paused")


@tasks.command()
@click.argument("task_id")
@json_option
@platform_options
def resume(task_id: str, as_json: bool, overrides: Overrides) -> int:
    """Have a task go on that was paused, or whose process has ended, and show it to its end.

    It goes on here, unless another process has it already. Agents and settings are those with which
    the task was begun. What is printed and the exit code are as those of codin run.
    """
    from codin.cli.answering import resume_task
    from codin.cli.watching import interruptible

    return asyncio.run(interruptible(resume_task(task_id, overrides, as_json=as_json)))


@tasks.command("dead-letters")
@config_option
@json_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def dead_letters(config: Path | None, as_json: bool, limit: int) -> None:
    """Push notifications that their receivers did not take, the latest first."""

    async def read() -> list[dict[str, Any]]:
        from codin.security import LOCAL_USER
        from codin.task.push.stored import StoredPushConfigs

        async with _database(config) as database:
            store = await StoredPushConfigs.over(database)
            page = await store.dead_letters(LOCAL_USER, limit=limit)
            return [asdict(letter) for letter in page.letters]

    rows = asyncio.run(read())
    if not as_json:
        rows = [
            row | {"last": f"{datetime.fromtimestamp(row['last']):%b %d %H:%M}"} for row in rows
        ]
    columns = ("task_id", "seq", "url", "status", "attempts", "last", "reason")
    print_rows(rows, columns, as_json=as_json)


@tasks.command()
@config_option
@json_option
@click.option(
    "--days",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=1 / 24),
    help="Only what is older.",
)
def collect(config: Path | None, as_json: bool, days: float) -> None:
    """Remove large contents to which no task refers.

    They are left behind where a process died before its task's log had them. What a task refers to
    stays.
    """

    async def remove(log: EventLog) -> list[dict[str, Any]]:
        from codin.task.artifacts import collect as collecting

        assert log.artifacts is not None
        found = await collecting(log.artifacts, log.digests, seconds=days * 86_400)
        return [asdict(found)]

    print_rows(_with_log(config, remove), ("contents", "bytes"), as_json=as_json)


def _renderer() -> Any:
    from rich.console import Console

    from codin.cli.render import PlainRenderer

    return PlainRenderer(Console())


def _with_log(config: Path | None, use: Callable[[EventLog], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with open_log(config) as log:
            return await use(log)

    return asyncio.run(opened())


@asynccontextmanager
async def open_log(config: Path | None) -> AsyncIterator[EventLog]:
    """The task log of the settings."""
    from codin.task.log import open_log as log_of

    async with _database(config) as database:
        log = await log_of(database)
        try:
            yield log
        finally:
            await log.close()


def _database(config: Path | None) -> AbstractAsyncContextManager[Database]:
    """The database of the settings."""
    from codin.database import database_at

    settings = load_settings(config)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return database_at(settings.database_place, durability=settings.database.durability)


async def named(log: EventLog, beginning: str) -> str:
    """The id of the one task whose id begins so; what is no beginning comes back as it is.

    Raises:
        InvalidInputError: several begin so.
    """
    from codin.security import LOCAL_USER

    found: list[str] = []
    after = None
    while len(beginning) < _ID_CHARS:
        page = await log.tasks(LOCAL_USER, limit=1000, after=after)
        found += [task.task_id for task in page.tasks if task.task_id.startswith(beginning)]
        after = page.cursor
        if after is None:
            break
    if len(found) > 1:
        shown = ", ".join(found[:5])
        raise InvalidInputError(f"{len(found)} tasks begin with {beginning!r}: {shown}; say more")
    return found[0] if found else beginning


async def _events(log: EventLog, task_id: str, *, follow: bool) -> AsyncIterator[Any]:
    from codin.security import LOCAL_USER
    from codin.task.log.follow import follow as follow_log

    row = await log.task(LOCAL_USER, task_id)
    if follow:
        async for event in follow_log(log, LOCAL_USER, task_id):
            yield event
        return
    seen = 0
    while seen < row.last_seq:
        for event in await log.read(LOCAL_USER, task_id, seen):
            seen = event.seq
            yield event


async def _row(log: EventLog, task: TaskRow) -> dict[str, Any]:
    first = await log.read(task.principal, task.task_id, 0, 1)
    history = first[0].body.get("history", [{}]) if first else [{}]
    text = " ".join(part.get("text", "") for part in history[-1].get("parts", ()))
    return {
        "task": task.task_id,
        "state": plain(task.state),
        "agent": task.agent_id,
        "when": datetime.fromtimestamp(task.created).isoformat(" ", "seconds"),
        "seconds": round(task.updated - task.created, 1),
        "goal": short(text, 80),
    }


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a table has room for it."""
    when = datetime.fromisoformat(row["when"])
    return row | {"task": row["task"][:_BRIEF_CHARS], "when": f"{when:%b %d %H:%M}"}


def plain(state: str) -> str:
    """A2A's name of a state as one says it."""
    return state.removeprefix("TASK_STATE_").lower()
