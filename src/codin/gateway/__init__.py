"""The HTTP face: the page, its API, and every agent over A2A."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.gateway.app import create_app
    from codin.gateway.auth import Authenticator, Caller, LoopbackAuthenticator
    from codin.gateway.base import (
        GatewayParts,
        ModelBadge,
        ServedAgent,
    )
    from codin.gateway.errors import AddressInUse, GatewayError, UnsafeAddress
    from codin.gateway.server import HttpServer, UnixServer, run_until_signal

_HOMES = {
    "app": ("create_app",),
    "auth": (
        "Authenticator",
        "Caller",
        "LoopbackAuthenticator",
    ),
    "base": (
        "GatewayParts",
        "ModelBadge",
        "ServedAgent",
    ),
    "errors": (
        "AddressInUse",
        "GatewayError",
        "UnsafeAddress",
    ),
    "server": (
        "HttpServer",
        "UnixServer",
        "run_until_signal",
    ),
}

__all__ = [
    "AddressInUse",
    "Authenticator",
    "Caller",
    "GatewayError",
    "GatewayParts",
    "HttpServer",
    "LoopbackAuthenticator",
    "ModelBadge",
    "ServedAgent",
    "UnixServer",
    "UnsafeAddress",
    "create_app",
    "run_until_signal",
]

__getattr__ = lazy_names(__name__, _HOMES)
