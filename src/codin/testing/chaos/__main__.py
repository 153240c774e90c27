"""``python -m codin.testing.chaos``: run the proof, and print its figures as one JSON object."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import click

from codin.testing.chaos.proof import ChaosProof, Report, Restart, Store, dump


@click.command()
@click.option("--store", type=click.Choice(["sqlite", "postgres"]), default="sqlite")
@click.option("--kills", default=200, show_default=True)
@click.option("--goals", default=300, show_default=True)
@click.option("--workers", type=int, help="1 over SQLite and 3 over Postgres, unless given.")
@click.option("--seed", type=int, help="Repeat the choices of what befalls whom.")
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this folder, and keep it.")
def main(
    *,
    store: Store,
    kills: int,
    goals: int,
    workers: int | None,
    seed: int | None,
    keep: Path | None,
) -> None:
    """Kill, stop and restart workers and the database while goals run, and look whether every goal
    ends and every effect came once. Ends with 1 if not."""
    folder = Path(tempfile.mkdtemp(prefix="codin-c-")) if keep is None else keep
    folder.mkdir(parents=True, exist_ok=True)
    count = workers or (1 if store == "sqlite" else 3)
    try:
        report = _prove(store, folder, kills=kills, goals=goals, workers=count, seed=seed)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(dump(report))
    sys.exit(0 if report.holds else 1)


def _prove(
    store: Store, folder: Path, *, kills: int, goals: int, workers: int, seed: int | None
) -> Report:
    with contextlib.ExitStack() as stack:
        place, restart = str(folder / "tasks.db"), None
        if store == "postgres":
            from codin.testing.postgres import postgres_server

            server = stack.enter_context(postgres_server())
            place, restart = stack.enter_context(server.database()), server.restart
        restarting: Restart | None = restart
        proof = ChaosProof(
            *(store, place, folder),
            workers=workers,
            goals=goals,
            kills=kills,
            restart=restarting,
            seed=seed,
        )
        return asyncio.run(proof.run())


if __name__ == "__main__":
    main()
