"""The HTTP face: the page, its API, and every agent over A2A."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "create_app": "app",
    "Authenticator": "auth",
    "Caller": "auth",
    "LoopbackAuthenticator": "auth",
    "GatewayParts": "base",
    "ModelBadge": "base",
    "ServedAgent": "base",
    "AddressInUse": "errors",
    "GatewayError": "errors",
    "UnsafeAddress": "errors",
    "HttpServer": "server",
    "UnixServer": "server",
    "run_until_signal": "server",
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


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'codin.gateway' has no attribute {name!r}") from None
    return getattr(import_module(f"codin.gateway.{home}"), name)
