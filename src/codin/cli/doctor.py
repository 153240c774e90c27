"""`codin doctor`: what this machine can do, and what is missing and how to get it."""

from __future__ import annotations

import asyncio
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import click

from codin.cli.exits import ExitCode
from codin.cli.output import json_option, print_json, print_rows

FRAMEWORKS = {
    "langgraph": ("langgraph", "langgraph"),
    "adk": ("google-adk", "adk"),
    "agno": ("agno", "agno"),
}


class Described(Protocol):
    """A provider of sandboxes that says what it gives here."""

    async def describe(self) -> dict[str, object]: ...

    async def close(self) -> None: ...


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> int:
    """What this machine can do, and what is missing and how to get it."""
    report = asyncio.run(examine())
    if as_json:
        print_json(report)
    else:
        rows = [row for rows in report.values() for row in rows]
        shown = [{**row, "ok": "yes" if row["ok"] else "no"} for row in rows]
        print_rows(shown, ("what", "ok", "detail"), as_json=False)
    return ExitCode.OK if _usable(report) else ExitCode.FAILED


async def examine() -> dict[str, list[dict[str, Any]]]:
    """Every part that depends on the machine, tried. Never raises for what is missing."""
    return {
        "models": await _models(),
        "sandboxes": await _sandboxes(),
        "frameworks": [_framework(*item) for item in FRAMEWORKS.items()],
        "stores": [_row("store sqlite", ok=True, detail=_sqlite())],
        "system": [_chromium()],
    }


def _usable(report: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether a goal can be run: some model, and some sandbox."""
    return all(any(row["ok"] for row in report[part]) for part in ("models", "sandboxes"))


async def _models() -> list[dict[str, Any]]:
    from codin.model import describe_models

    return [
        _row(f"model {report.provider}", ok=report.available, detail=report.detail)
        | {"chosen": report.chosen}
        for report in await describe_models()
    ]


async def _sandboxes() -> list[dict[str, Any]]:
    """A row for each level, the weakest first."""
    rows = list(await asyncio.gather(*map(_level, _providers())))
    best = next((row for row in rows if row["ok"]), None)
    detail = rows[0]["detail"] if best is None else f"whoever asks for it is given {best['what']}"
    return [_row("sandbox process", ok=best is not None, detail=detail), *rows]


def _providers() -> list[Described]:
    from codin.sandbox.docker import DockerSandboxProvider
    from codin.sandbox.gvisor import GvisorSandboxProvider
    from codin.sandbox.local import LocalSandboxProvider

    return [LocalSandboxProvider(), GvisorSandboxProvider(), DockerSandboxProvider()]


async def _level(provider: Described) -> dict[str, Any]:
    try:
        found = await provider.describe()
    finally:
        await provider.close()
    enforced = found["enforced"]
    assert isinstance(enforced, list)
    kept = f"by {found['backend']}; enforces {', '.join(enforced)} (by {found['kept_by']})"
    detail = kept if found["available"] else str(found["reason"])
    what = f"sandbox {found['isolation']}"
    return _row(what, ok=bool(found["available"]), detail=detail) | dict(found)


def _framework(name: str, package: tuple[str, str]) -> dict[str, Any]:
    distribution, extra = package
    try:
        return _row(f"framework {name}", ok=True, detail=f"{distribution} {version(distribution)}")
    except PackageNotFoundError:
        return _row(f"framework {name}", ok=False, detail=f"pip install 'codin[{extra}]'")


def _sqlite() -> str:
    import sqlite3

    return f"SQLite {sqlite3.sqlite_version}"


def _chromium() -> dict[str, Any]:
    path = shutil.which("chromium")
    detail = path or "only the browser tests need it: make system (apt-get install chromium)"
    return _row("chromium", ok=path is not None, detail=detail)


def _row(what: str, *, ok: bool, detail: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "detail": detail}
