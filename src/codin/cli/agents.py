"""`codin agents`: who is there, in what environment, and how they are."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import click

from codin.cli.exits import ExitCode
from codin.cli.options import Overrides, config_option, platform_options
from codin.cli.output import json_option, print_rows
from codin.cli.text import clean

_COLUMNS = ("id", "framework", "environment", "isolation", "state", "address")
_WIDTH = 200  # an address is copied whole
_ASK_SECONDS = 30.0


@click.group(invoke_without_command=True)
@json_option
@click.option("--url", help="Ask the gateway that runs there, with the key in CODIN_API_KEY.")
@platform_options
@click.pass_context
def agents(
    context: click.Context, *, as_json: bool, url: str | None, overrides: Overrides
) -> int | None:
    """The agents of the settings, each brought up to see that it comes up; or those of a gateway
    that runs (--url)."""
    if context.invoked_subcommand is not None:
        return None
    rows, left_out = asyncio.run(_asked(url) if url else _brought_up(overrides))
    there = {row["id"] for row in rows}
    rows += [{"id": None, "state": "failed", **problem} for problem in left_out]
    # what an agent lacks that is there is no row of the table
    listed = [row for row in rows if row["id"] or row["source"] not in there]
    shown = rows if as_json else [_shown(row) for row in listed]
    print_rows(shown, _COLUMNS, as_json=as_json, least_width=_WIDTH)
    not_ready = [row for row in rows if row["state"] != "ready"]
    for row in not_ready:
        click.echo(clean(_complaint(row, there)), err=True)
    return ExitCode.FAILED if not_ready else ExitCode.OK


@agents.command()
@click.argument("agent")
@click.option("-n", "--lines", default=100, show_default=True, help="How many of the newest.")
@config_option
def logs(agent: str, lines: int, config: Path | None) -> int:
    """What the host of AGENT has printed, also of hosts that have ended."""
    from codin.agent.host.journal import read
    from codin.agent.wrapping import AGENT_ID
    from codin.config import load_settings
    from codin.errors import NotFoundError
    from codin.gateway.opening import LOGS

    folder = load_settings(config).home / LOGS
    found = read(folder, agent, lines) if AGENT_ID.fullmatch(agent) else None
    if found is None:
        raise NotFoundError(f"there is no log of an agent {agent!r} in {folder}")
    for line in found:
        click.echo(clean(line))
    return ExitCode.OK


def _complaint(row: Mapping[str, Any], there: Container[str]) -> str:
    """What is wrong with an agent that is not ready, lacks something, or is not there at all."""
    why = row["reason"] or "no reason is told"
    if row["id"]:
        return f"{row['id']} is {row['state']}: {why}"
    if row["source"] in there:
        return f"{row['source']} {why}"
    return f"left out: {why}" if row["source"] in why else f"left out {row['source']}: {why}"


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    framework = " ".join(filter(None, (row.get("framework"), row.get("version"))))
    isolation = str(row.get("isolation", ""))
    return {
        "address": "",
        "environment": "",
        **row,
        "id": row["id"] or Path(row["source"]).stem,
        "framework": framework,
        "isolation": f"{isolation}, trusted" if row.get("trusted") else isolation,
    }


async def _brought_up(overrides: Overrides) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    from dataclasses import asdict

    from codin.agent.host.process import HostState
    from codin.gateway.coordination import coordinator_infos
    from codin.gateway.opening import open_team

    settings = overrides.settings()
    async with open_team(settings, say=lambda text: click.echo(text, err=True)) as team:
        states = await team.states()
        here = HostState("ready")  # routers and supervisors are of the platform itself
        rows = [
            {
                **asdict(info),
                "state": states.get(info.id, here).status,
                "reason": states.get(info.id, here).reason,
                "address": f"{settings.server.address}/agents/{info.id}/",
                "socket": states.get(info.id, here).address,
            }
            for info in (*team.infos, *coordinator_infos(settings))
        ]
        return rows, [{"source": p.source, "reason": p.message} for p in team.problems]


async def _asked(url: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    import os

    import httpx

    from codin.errors import CodinError

    key = os.environ.get("CODIN_API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    base = url.rstrip("/")
    try:
        async with httpx.AsyncClient(timeout=_ASK_SECONDS) as http:
            answer = await http.get(f"{base}/api/agents", headers=headers)
        if answer.status_code != httpx.codes.OK:
            raise CodinError(f"{base} answers {answer.status_code}: {answer.text[:300]}")
        told: Mapping[str, Any] = answer.json()
        rows = [{**row, "address": base + row["address"]} for row in told["agents"]]
        return rows, list(told["left_out"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CodinError(f"no gateway answers at {base}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CodinError(f"what answers at {base} is no gateway of codin") from error
