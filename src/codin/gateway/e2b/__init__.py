"""Sandboxes for E2B's official SDKs: the service that they talk to, over the platform's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.gateway.e2b.app import E2bApp
    from codin.gateway.e2b.opening import E2bMount, open_e2b
    from codin.gateway.e2b.sandboxes import SandboxService

_HOMES = {
    "app": ("E2bApp",),
    "opening": ("E2bMount", "open_e2b"),
    "sandboxes": ("SandboxService",),
}
__all__ = ["E2bApp", "E2bMount", "SandboxService", "open_e2b"]

__getattr__ = lazy_names(__name__, _HOMES)
