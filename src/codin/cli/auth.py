"""`codin auth`: API keys, roles and signing keys, straight in the platform's home."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codin.cli.options import config_option
from codin.cli.output import json_option, print_json, print_rows
from codin.cli.text import short
from codin.config import load_settings
from codin.security import DEFAULT_ROLES, LOCAL_TENANT, PERMISSIONS, Principal

if TYPE_CHECKING:
    from codin.security import ApiKey, AuditRecord, SecurityStore

T = TypeVar("T")

_DAY = 86_400.0

tenant_option = click.option(
    "--tenant", default=LOCAL_TENANT, show_default=True, help="Whose keys they are."
)


@click.group()
def auth() -> None:
    """API keys, roles, signing keys, and who did what."""


@auth.group()
def key() -> None:
    """API keys, for programs and people that call the gateway."""


@key.command()
@config_option
@json_option
@tenant_option
@click.option("--subject", required=True, help="Who will use it: a person or a program.")
@click.option("--role", "roles", multiple=True, required=True, help="A role. Repeatable.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="PERMISSION",
    help="Allow no more than this (agent.use:echo, tool.call:*). Repeatable.",
)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Expires after them.")
@click.option("--note", default="", help="What it is for.")
def add(
    config: Path | None,
    as_json: bool,
    tenant: str,
    *,
    subject: str,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    days: float | None,
    note: str,
) -> None:
    """Make a key. It is shown once, here, and kept as a hash only."""

    async def make(store: SecurityStore) -> tuple[ApiKey, str]:
        from codin.security import KeyRequest

        seconds = None if days is None else days * _DAY
        request = KeyRequest(subject, frozenset(roles), frozenset(scopes), seconds, note)
        made, text = await store.keys.add(_operator(tenant), request)
        await _note(store, tenant, "auth.keys", made.id, did="add", subject=subject)
        return made, text

    made, text = _with_store(config, make)
    if as_json:
        print_json({**_row(made), "key": text})
        return
    click.echo(text)
    click.echo(f"key {made.id} of {made.subject}: it is not shown again", err=True)


@key.command("list")
@config_option
@json_option
@tenant_option
def list_keys(config: Path | None, as_json: bool, tenant: str) -> None:
    """The keys of a tenant, the latest first."""
    rows = [_row(each) for each in _with_store(config, lambda s: s.keys.list(_operator(tenant)))]
    if not as_json:
        rows = [_brief(row) for row in rows]
    print_rows(rows, ("id", "subject", "state", "allowed"), as_json=as_json)


@key.command()
@config_option
@json_option
@tenant_option
@click.argument("key_id")
def revoke(config: Path | None, as_json: bool, tenant: str, key_id: str) -> None:
    """End a key for good. A gateway that runs refuses it within seconds."""

    async def end(store: SecurityStore) -> ApiKey:
        ended = await store.keys.revoke(_operator(tenant), key_id)
        await _note(store, tenant, "auth.keys", key_id, did="revoke", subject=ended.subject)
        return ended

    ended = _with_store(config, end)
    if as_json:
        print_json(_row(ended))
    else:
        click.echo(f"key {ended.id} of {ended.subject} is revoked")


@auth.command()
@config_option
@json_option
@tenant_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
def audit(config: Path | None, as_json: bool, tenant: str, limit: int) -> None:
    """Who did what to what, the latest first."""

    async def read(store: SecurityStore) -> list[AuditRecord]:
        return await store.audit.list(_operator(tenant), limit=limit)

    records = _with_store(config, read)
    rows = [
        {
            "when": _when(record.time),
            "who": " for ".join([*record.entry.behalf, record.subject]),
            "did": record.entry.action,
            "to": record.entry.resource,
            "allowed": record.entry.allowed if as_json else ("" if record.entry.allowed else "no"),
            "from": record.entry.origin,
            "detail": dict(record.entry.detail),
        }
        for record in records
    ]
    print_rows(rows, ("when", "who", "did", "to", "allowed", "from"), as_json=as_json)


@auth.command()
@json_option
def roles(as_json: bool) -> None:
    """The roles, and what each may do."""
    from codin.security.roles import permissions_of

    if as_json:
        print_rows(
            ({"role": role, "permissions": permissions_of(role)} for role in DEFAULT_ROLES),
            (),
            as_json=True,
        )
        return
    rows = [
        {
            "permission": name,
            **{role: "yes" if name in permissions_of(role) else "" for role in DEFAULT_ROLES},
            "lets": lets,
        }
        for name, lets in PERMISSIONS.items()
    ]
    print_rows(rows, ("permission", *DEFAULT_ROLES, "lets"), as_json=False)


@auth.command()
@config_option
@json_option
@click.option(
    "--keys",
    "which",
    type=click.Choice(["tokens", "cards", "all"]),
    default="all",
    show_default=True,
    help="Which signing keys.",
)
@click.option(
    "--lead",
    type=click.FloatRange(min=0, max=86_400),
    default=0.0,
    show_default=True,
    help="Seconds for which the new key is published before it signs.",
)
@click.option(
    "--drop-old",
    is_flag=True,
    help="A key has leaked: refuse at once all that was signed with the old ones.",
)
def rotate(config: Path | None, as_json: bool, which: str, lead: float, drop_old: bool) -> None:
    """New signing keys. What the old ones have signed holds until it expires."""

    async def turn(store: SecurityStore) -> list[dict[str, Any]]:
        rings = {"tokens": store.token_ring, "cards": store.card_ring}
        rows = []
        for name, ring in rings.items():
            if which in {name, "all"}:
                made = await ring.rotate(lead_seconds=lead, drop_old=drop_old)
                await _note(
                    store, LOCAL_TENANT, "auth.rotate", made.id, keys=name, drop_old=drop_old
                )
                row = {"keys": name, "algorithm": ring.algorithm, "active": _when(made.active)}
                rows.append({**row, "accepted": len(ring.accepted()), "id": made.id})
        return rows

    rows = _with_store(config, turn)
    print_rows(rows, ("keys", "algorithm", "active", "accepted", "id"), as_json=as_json)


def _with_store(config: Path | None, work: Callable[[SecurityStore], Awaitable[T]]) -> T:
    settings = load_settings(config)

    async def done() -> T:
        from codin.database import database_at
        from codin.security import SecurityStore

        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with database_at(settings.database_place) as database:
            store = SecurityStore(settings.home, database=database, keys=settings.security.keys)
            try:
                return await work(store)
            finally:
                await store.close()

    return asyncio.run(done())


def _operator(tenant: str) -> Principal:
    """Who may write to the platform's home owns each tenant in it."""
    return Principal(tenant, "local", roles=frozenset({"owner"}))


async def _note(
    store: SecurityStore, tenant: str, action: str, resource: str, **detail: Any
) -> None:
    from codin.security import AuditEntry

    entry = AuditEntry(action, resource, allowed=True, origin="command line", detail=detail)
    await store.audit.record(_operator(tenant), entry)


def _row(made: ApiKey) -> dict[str, Any]:
    import time

    return {
        "id": made.id,
        "state": (made.problem(time.time()) or "in force")
        .removeprefix("has ")
        .removeprefix("been "),
        "tenant": made.tenant,
        "subject": made.subject,
        "roles": sorted(made.roles),
        "scopes": sorted(made.scopes),
        "created": _when(made.created),
        "expires": None if made.expires is None else _when(made.expires),
        "revoked": None if made.revoked is None else _when(made.revoked),
        "note": made.note,
    }


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a table has room for it."""
    ends = row["expires"] if row["state"] == "in force" else None
    scopes = f": {', '.join(row['scopes'])}" if row["scopes"] else ""
    note = f" ({short(row['note'], 60)})" if row["note"] else ""
    return {
        "id": row["id"],
        "subject": short(row["subject"], 20),
        "state": f"until {ends[:10]}" if ends else row["state"],
        "allowed": ", ".join(row["roles"]) + scopes + note,
    }


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
