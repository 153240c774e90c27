"""The drawing of matplotlib that ``plt.show()`` is heard by: figures become images."""

from __future__ import annotations

from typing import Any

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ._display import flush_figures


class FigureManager(FigureManagerBase):
    """Shows figures to whoever watches the code."""

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """Show every open figure, and close it."""
        flush_figures()

    def show(self) -> None:
        """Shown with the others."""


class FigureCanvas(FigureCanvasAgg):
    """Draws into memory."""

    manager_class: Any = FigureManager
