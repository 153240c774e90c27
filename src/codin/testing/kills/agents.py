"""The agents of the proof: one talks for a while, one asks before it answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from codin.agent.base import Task
from codin.agent.events import AgentEvent, ArtifactProduced, InputRequest, TextDelta, TextFinal
from codin.testing.tasks import SmallAgent

_TALK = re.compile(r"say (\d+) words in (\d+) ms each")
_QUESTION = "how many?"


def talk(words: int, pause_ms: int) -> str:
    """What to tell the agent ``talker`` for so many events, one every ``pause_ms``."""
    return f"say {words} words in {pause_ms} ms each"


async def _talk(task: Task) -> AsyncGenerator[AgentEvent, None]:
    found = _TALK.search(task.text)
    words, pause_ms = (int(found[1]), int(found[2])) if found else (1, 1)
    for number in range(words):
        await asyncio.sleep(pause_ms / 1000)
        if number % 4 == 3:
            yield ArtifactProduced(artifact_id=f"{task.id}-{number}", text=f"note {number}")
        else:
            yield TextDelta(message_id=f"m{number // 4}", text=f"word {number} ")
    yield TextFinal(message_id="end", text="all is said")


async def _ask(task: Task) -> AsyncGenerator[AgentEvent, None]:
    if task.text == "order":
        yield InputRequest(request_id="q", prompt=_QUESTION)
    else:
        yield TextFinal(message_id="end", text=f"ordered {task.text}")


talker = SmallAgent(_talk, "talker", "Talker", "Says as many words as it is told to.")
asker = SmallAgent(_ask, "asker", "Asker", "Asks how many, and orders them.")
