"""What every memory has to do. Subclass ``MemoryConformance`` in a test module, and give it a
fixture ``memory`` that yields an open, empty memory whose embedder is a ``HashingEmbedder()``::

    class TestMine(MemoryConformance):
        @pytest.fixture
        async def memory(self):
            ...

``ReembedConformance`` is for those whose texts can be embedded anew, beside it.

Needs pytest with pytest-asyncio in automatic mode, hypothesis and numpy.
"""

from __future__ import annotations

from codin.testing._memory_base import ANNA, ANNAS, BEN, OTHER_TENANT, said
from codin.testing._memory_chunks import ChunkConformance
from codin.testing._memory_compact import CompactConformance
from codin.testing._memory_fuzz import FuzzConformance
from codin.testing._memory_history import HistoryConformance
from codin.testing._memory_notes import NoteConformance
from codin.testing._memory_reembed import ReembedConformance
from codin.testing._memory_scopes import ScopeConformance
from codin.testing._memory_search import SearchConformance

__all__ = [
    "ANNA",
    "ANNAS",
    "BEN",
    "OTHER_TENANT",
    "ChunkConformance",
    "CompactConformance",
    "FuzzConformance",
    "HistoryConformance",
    "MemoryConformance",
    "NoteConformance",
    "ReembedConformance",
    "ScopeConformance",
    "SearchConformance",
    "said",
]


class MemoryConformance(
    HistoryConformance,
    NoteConformance,
    ChunkConformance,
    SearchConformance,
    CompactConformance,
    ScopeConformance,
    FuzzConformance,
):
    """All of it. Each check gets a memory of its own."""
