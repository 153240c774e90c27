"""What makes sandboxes on this machine, by the backend's name."""

from __future__ import annotations

from collections.abc import Sequence

from codin.errors import InvalidInputError
from codin.sandbox.base import SandboxProvider


def provider_of(backend: str, *, private: Sequence[str] = ()) -> SandboxProvider:
    """A provider of ``backend``, whose sandboxes may be allowed the ``private`` ``host:port``.

    Raises:
        InvalidInputError: there is no such backend on one machine.
    """
    from codin.sandbox.network import ProxyRoom

    room = ProxyRoom(private=private)
    if backend == "local":
        from codin.sandbox.local import LocalSandboxProvider

        return LocalSandboxProvider(network=room)
    if backend == "docker":
        from codin.sandbox.docker import DockerSandboxProvider

        return DockerSandboxProvider(network=room)
    raise InvalidInputError(f"sandboxes are made by local or docker, not by {backend!r}")
