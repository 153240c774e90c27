"""What every sandbox must do: one suite that any provider can be run with.

Use it with pytest and pytest-asyncio (``asyncio_mode = "auto"``)::

    class TestMine(SandboxConformance):
        @pytest.fixture
        async def provider(self):
            yield MyProvider()

The provider has to enforce every limit of ``Limits()`` as it stands, and give no network.
One that gives allow-lists is also run with ``NetworkConformance``, which has fixtures of its own,
and one that gives machines with ``MachineConformance``.
"""

from __future__ import annotations

from codin.testing._sandbox_code import CodeConformance, WorkerConformance
from codin.testing._sandbox_commands import CommandConformance, LimitConformance
from codin.testing._sandbox_files import (
    FileConformance,
    IsolationConformance,
    LifeConformance,
    WatchConformance,
)
from codin.testing._sandbox_machine import MachineConformance
from codin.testing._sandbox_network import NetworkConformance

__all__ = [
    "CodeConformance",
    "CommandConformance",
    "FileConformance",
    "IsolationConformance",
    "LifeConformance",
    "LimitConformance",
    "MachineConformance",
    "NetworkConformance",
    "SandboxConformance",
    "WatchConformance",
    "WorkerConformance",
]


class SandboxConformance(
    CommandConformance,
    LimitConformance,
    FileConformance,
    WatchConformance,
    CodeConformance,
    WorkerConformance,
    LifeConformance,
    IsolationConformance,
):
    """All of it."""
