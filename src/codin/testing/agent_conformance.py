"""What every agent of the platform does, whatever it is made of.

Subclass ``AgentConformance`` in a test module, say how to make the agent, and pytest (with
pytest-asyncio in auto mode) runs the suite on it::

    class TestMine(AgentConformance):
        async def make(self, base_url: str) -> Agent:
            return wrap(my_agent_that_asks_a_model_at(base_url))

The agent has to ask an OpenAI-compatible model at ``base_url`` (streaming, without retries),
offer it the tools of the task, call those that the model asks for, and stream its text. What it
does by its framework's own means is given as scenes: ``asking``, ``approving``, ``handing_off``,
``structuring``, ``making_files``. A behaviour that it lacks is named in ``cannot``, and shown.
"""

from __future__ import annotations

from codin.testing._agent_asking import AskingSuite
from codin.testing._agent_base import (
    BEHAVIOURS,
    Scene,
    answering,
    asked,
    bare_test,
    behaviour,
    collect,
    of,
)
from codin.testing._agent_making import PIXEL, MakingSuite
from codin.testing._agent_text import TextSuite
from codin.testing._agent_tools import ToolSuite
from codin.testing._agent_work import WorkSuite
from codin.testing.agent_fakes import FakeTool, adding_tool, task_for

__all__ = [
    "BEHAVIOURS",
    "PIXEL",
    "AgentConformance",
    "FakeTool",
    "Scene",
    "adding_tool",
    "answering",
    "asked",
    "bare_test",
    "behaviour",
    "collect",
    "of",
    "task_for",
]


class AgentConformance(TextSuite, ToolSuite, WorkSuite, AskingSuite, MakingSuite):
    """The whole suite."""
