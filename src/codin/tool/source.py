"""Where many tools come from at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence

from codin.tool.invocation import RunnableTool

Changed = Callable[[Sequence[RunnableTool]], Awaitable[None]]
"""Is given all tools of a source, in the place of those that there were."""


class ToolSource(ABC):
    """Gives tools, such as those of an API or of a server, while it is open.

    ``name`` is the namespace of its tools: their names begin with it, and ``_``. ``problems`` says
    in a sentence each what of it cannot be used; the rest can.
    """

    name: str
    problems: list[str]

    @abstractmethod
    async def open(self) -> Sequence[RunnableTool]:
        """Its tools.

        Raises:
            ToolDefinitionError: it has none that could be used; the message says why.
            OutgoingRefused: the platform may not connect to it.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of what it has open. Its tools cannot be called any more."""

    def listen(self, changed: Changed) -> None:  # noqa: B027 - most sources never change
        """Have ``changed`` told when its tools are others than before; ``problems`` are then those
        of the new ones. It does not raise."""
