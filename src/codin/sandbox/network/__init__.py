"""The network of a sandbox: an allow-list, kept by a proxy that is its only route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.sandbox.network.listener import PROXY_PORT, proxy_environment
    from codin.sandbox.network.proxy import NetworkProxy, ProxyLimits, ProxyRoom, Serving
    from codin.sandbox.network.refusal import Refusal

_HOMES = {
    "listener": ("PROXY_PORT", "proxy_environment"),
    "proxy": ("NetworkProxy", "ProxyLimits", "ProxyRoom", "Serving"),
    "refusal": ("Refusal",),
}
__all__ = [
    "PROXY_PORT",
    "NetworkProxy",
    "ProxyLimits",
    "ProxyRoom",
    "Refusal",
    "Serving",
    "proxy_environment",
]

__getattr__ = lazy_names(__name__, _HOMES)
