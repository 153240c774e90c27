"""How often a run asks its models, for frameworks that keep no count of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from codin.agent.adapters._failure import TooManySteps


class Calls:
    """The requests that a run makes of its models: how many it may, and the first that failed,
    which a framework may hide in an error of its own."""

    def __init__(self, limit: int) -> None:
        self.failed: Exception | None = None
        self._left = limit

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around a request.

        Raises:
            TooManySteps: there were as many as there may be.
        """
        try:
            if self._left <= 0:
                raise TooManySteps
            self._left -= 1
            yield
        except Exception as error:
            self.failed = self.failed or error
            raise
