"""The agent that is measured, as codin serves it. Its twin for the SDK is in ``_plain.py``.

``hold`` works until it is cancelled, ``stream N`` makes N artifacts, all else is said again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from codin.agent.events import AgentEvent, ArtifactProduced, TextFinal


async def agent(text: str) -> AsyncIterator[AgentEvent]:
    """The events of one task."""
    if text == "hold":
        await asyncio.Event().wait()
    elif text.startswith("stream "):
        for number in range(int(text.removeprefix("stream "))):
            yield ArtifactProduced(artifact_id=f"artifact-{number}", text=f"piece {number}")
    else:
        yield TextFinal(message_id="echo", text=text)
