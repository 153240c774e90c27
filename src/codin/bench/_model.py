"""The model of the agents that are measured, which says the same to everything: a program."""

from __future__ import annotations

import asyncio

from codin.bench._turns import SAID
from codin.testing.scripted_model import ScriptedModel, text


async def main() -> None:
    """Serve on a free port, and say where."""
    model = ScriptedModel(lambda _: text(SAID))
    async with model.serve() as url:
        print(f"the model is at {url}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
