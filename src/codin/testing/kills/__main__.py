"""``python -m codin.testing.kills``: run the proof, and print its figures as one JSON object."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import click

from codin.testing.kills.proof import KillProof, Report, Store, dump


@click.command()
@click.option("--store", type=click.Choice(["sqlite", "postgres"]), default="sqlite")
@click.option("--kills", default=50, show_default=True)
@click.option("--streams", default=200, show_default=True)
@click.option("--hosts/--no-hosts", default=True, help="Run the agents in hosts, in sandboxes.")
@click.option("--seed", type=int, help="Repeat the choices of where to kill.")
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this folder, and keep it.")
def main(
    *, store: Store, kills: int, streams: int, hosts: bool, seed: int | None, keep: Path | None
) -> None:
    """Kill a gateway again and again, and look whether anything was lost. Ends with 1 if so."""
    folder = Path(tempfile.mkdtemp(prefix="codin-k-")) if keep is None else keep
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report = _prove(store, folder, kills=kills, streams=streams, hosts=hosts, seed=seed)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(dump(report))
    sys.exit(0 if report.holds else 1)


def _prove(
    store: Store, folder: Path, *, kills: int, streams: int, hosts: bool, seed: int | None
) -> Report:
    with contextlib.ExitStack() as stack:
        place = str(folder / "tasks.db")
        if store == "postgres":
            from codin.testing.postgres import postgres_server

            place = stack.enter_context(stack.enter_context(postgres_server()).database())
        proof = KillProof(
            store, place, folder, kills=kills, streams=streams, hosts=hosts, seed=seed
        )
        return asyncio.run(proof.run())


if __name__ == "__main__":
    main()
