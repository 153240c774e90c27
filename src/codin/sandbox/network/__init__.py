"""The network of a sandbox: an allow-list, kept by a proxy that is its only route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.sandbox.network.listener import PROXY_PORT, proxy_environment
    from codin.sandbox.network.proxy import NetworkProxy, ProxyLimits, ProxyRoom, Serving
    from codin.sandbox.network.refusal import Refusal
    from codin.sandbox.network.rules import AllowList, Target, parse_target

_HOMES = {
    "listener": ("PROXY_PORT", "proxy_environment"),
    "proxy": ("NetworkProxy", "ProxyLimits", "ProxyRoom", "Serving"),
    "refusal": ("Refusal",),
    "rules": ("AllowList", "Target", "parse_target"),
}
__all__ = [
    "PROXY_PORT",
    "AllowList",
    "NetworkProxy",
    "ProxyLimits",
    "ProxyRoom",
    "Refusal",
    "Serving",
    "Target",
    "parse_target",
    "proxy_environment",
]

__getattr__ = lazy_names(__name__, _HOMES)
