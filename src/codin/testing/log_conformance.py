"""What every event log must do. Subclass ``EventLogSuite`` in a test module, and give it a fixture
``log`` that yields an open, empty log::

    class TestMine(EventLogSuite):
        @pytest.fixture
        async def log(self):
            ...

Needs pytest with pytest-asyncio in automatic mode.
"""

from __future__ import annotations

from codin.testing._log_base import ANN, BOB, OTHER_ANN, artifact, begin, status, submitted
from codin.testing._log_entries import EntryConformance
from codin.testing._log_leases import LeaseConformance
from codin.testing._log_names import NameConformance

__all__ = [
    "ANN",
    "BOB",
    "OTHER_ANN",
    "EntryConformance",
    "EventLogSuite",
    "LeaseConformance",
    "NameConformance",
    "artifact",
    "begin",
    "status",
    "submitted",
]


class EventLogSuite(EntryConformance, NameConformance, LeaseConformance):
    """All of it. Each check gets a log of its own."""
