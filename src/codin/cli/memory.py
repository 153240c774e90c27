"""`codin memory`: what is remembered, straight from the store; no platform has to run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codin.cli.options import config_option
from codin.cli.output import json_option, print_json, print_rows
from codin.cli.text import clean, short
from codin.config import load_settings
from codin.errors import NotFoundError

if TYPE_CHECKING:
    from codin.memory import MemorySystem
    from codin.security import Scope

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_BRIEF_CHARS = 12
_TEXT_CHARS = 100


@click.group()
def memory() -> None:
    """List, show, search, forget and export what is remembered."""


def _whose(command: F) -> F:
    """Add ``--agent`` and ``--session``."""
    agent = click.option("--agent", help="Only what is of this agent.")
    return agent(click.option("--session", help="Only what is of this conversation.")(command))


@memory.command("list")
@config_option
@json_option
@_whose
@click.option("--kind", type=click.Choice(["message", "note", "chunk"]), help="Only these.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def list_entries(
    *,
    config: Path | None,
    as_json: bool,
    agent: str | None,
    session: str | None,
    kind: str | None,
    limit: int,
) -> None:
    """Messages, notes and chunks, the latest first."""

    async def read(memory: MemorySystem) -> list[dict[str, Any]]:
        from codin.memory.browsing import KINDS, newest

        kinds = (kind,) if kind else KINDS
        return await newest(memory, _scope(agent, session), kinds=kinds, limit=limit)

    rows = _with_memory(config, read)
    shown = rows if as_json else [_brief(row) for row in rows]
    print_rows(shown, ("id", "kind", "when", "agent", "text"), as_json=as_json)


@memory.command()
@config_option
@json_option
@_whose
@click.argument("name")
def show(
    config: Path | None, as_json: bool, agent: str | None, session: str | None, name: str
) -> None:
    """One message, note or chunk, whole.

    NAME is the id, or a note's key; or the beginning of it, as the list shows it.
    """

    async def read(memory: MemorySystem) -> dict[str, Any]:
        from codin.memory.browsing import entry_named

        entry = await entry_named(memory, _scope(agent, session), name)
        if entry is None:
            raise NotFoundError(f"nothing is remembered as {name!r}: see codin memory list")
        return entry

    entry = _with_memory(config, read)
    if as_json:
        print_json(entry)
        return
    for key, value in entry.items():
        if value is not None:
            click.echo(f"{key}: {clean(str(value))}")


@memory.command()
@config_option
@json_option
@_whose
@click.option("--collection", default="default", show_default=True)
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100))
@click.option("--words", is_flag=True, help="By words alone, also where there is an embedder.")
@click.argument("query")
def search(
    *,
    config: Path | None,
    as_json: bool,
    agent: str | None,
    session: str | None,
    collection: str,
    limit: int,
    words: bool,
    query: str,
) -> None:
    """The chunks that fit QUERY, the best first."""

    async def read(memory: MemorySystem) -> list[dict[str, Any]]:
        by_words = words or memory.chunks.embedder is None
        found = await memory.chunks.search(
            _scope(agent, session),
            query,
            mode="text" if by_words else "hybrid",
            limit=limit,
            collection=collection,
        )
        return [
            {
                "id": one.id,
                "score": round(one.score, 3),
                "agent": one.scope.agent,
                "session": one.scope.session,
                "updated": one.updated,
                "metadata": dict(one.metadata),
                "text": one.text,
            }
            for one in found
        ]

    rows = _with_memory(config, read)
    if not as_json:
        rows = [row | {"text": short(row["text"], _TEXT_CHARS)} for row in rows]
    print_rows(rows, ("score", "agent", "text"), as_json=as_json)


@memory.command()
@config_option
@json_option
@_whose
@click.option("--everything", is_flag=True, help="All that is remembered of you.")
def forget(
    config: Path | None, as_json: bool, agent: str | None, session: str | None, everything: bool
) -> None:
    """Forget what is of an agent, of a conversation, or everything. It cannot be undone."""
    if everything == bool(agent or session):
        raise click.UsageError("give --agent, --session or both of them, or else --everything")

    async def write(memory: MemorySystem) -> dict[str, int]:
        gone = await memory.forget(_scope(agent, session))
        return {"messages": gone.messages, "notes": gone.notes, "chunks": gone.chunks}

    gone = _with_memory(config, write)
    if as_json:
        print_json(gone)
    else:
        click.echo("forgotten: " + ", ".join(f"{count} {kind}" for kind, count in gone.items()))


@memory.command()
@config_option
@_whose
def export(config: Path | None, agent: str | None, session: str | None) -> None:
    """All that is remembered, as lines of JSON."""

    async def write(memory: MemorySystem) -> None:
        async for entry in memory.export(_scope(agent, session)):
            print_json(entry)

    _with_memory(config, write)


@memory.command()
@config_option
@json_option
@click.option("--collection", default="default", show_default=True)
@click.option("--batch", default=100, show_default=True, type=click.IntRange(1, 1000))
def reembed(config: Path | None, as_json: bool, collection: str, batch: int) -> None:
    """Have the settings' embedder (memory.embedder) say anew where texts are, of all users.

    Until it is done, texts are found by their words. Broken off, it goes on where it was.
    """

    async def write(memory: MemorySystem) -> int:
        done = 0
        async for done in memory.chunks.reembed(None, collection=collection, batch=batch):
            if as_json:
                print_json({"collection": collection, "done": done})
            else:
                click.echo(f"{done:,} texts", err=True)
        return done

    done = _with_memory(config, write, needs_embedder=True)
    if not as_json:
        click.echo(f"{collection}: {done:,} texts were embedded")


def _with_memory(
    config: Path | None,
    use: Callable[[MemorySystem], Awaitable[T]],
    *,
    needs_embedder: bool = False,
) -> T:
    from codin.gateway.memory import open_memory

    async def opened() -> T:
        async with open_memory(load_settings(config)) as (memory, problem):
            if problem is not None and needs_embedder:
                raise click.ClickException(problem.message)
            if problem is not None:
                click.echo(f"{problem.source}: {problem.message}", err=True)
            return await use(memory)

    return asyncio.run(opened())


def _scope(agent: str | None, session: str | None) -> Scope:
    from codin.security import LOCAL_USER, Scope

    return Scope.of(LOCAL_USER, agent=agent, session=session)


def _brief(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as a table has room for it."""
    from codin.memory.browsing import name_of, when

    text = entry["value"] if entry["kind"] == "note" else entry["text"]
    return {
        "id": short(name_of(entry), _BRIEF_CHARS if entry["kind"] != "note" else 40),
        "kind": entry["kind"],
        "when": f"{datetime.fromtimestamp(when(entry)):%b %d %H:%M}",
        "agent": entry["agent"] or "",
        "text": short(str(text), _TEXT_CHARS),
    }
