"""The backends of this machine, by their names."""

from __future__ import annotations

from codin.errors import InvalidInputError
from codin.sandbox.base import SandboxProvider


def provider_of(backend: str) -> SandboxProvider:
    """What makes the sandboxes of that backend.

    Raises:
        InvalidInputError: there is no such backend on one machine.
    """
    if backend == "local":
        from codin.sandbox.local import LocalSandboxProvider

        return LocalSandboxProvider()
    raise InvalidInputError(f"there are sandboxes by local, not by {backend!r}")
