"""A2A over gRPC: every agent of the gateway on one port, from the same handlers as over HTTP."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codin.gateway.grpc.limits import GrpcLimits
    from codin.gateway.grpc.server import GrpcServer

_HOMES = {"GrpcLimits": "limits", "GrpcServer": "server"}

__all__ = ["GrpcLimits", "GrpcServer"]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'codin.gateway.grpc' has no attribute {name!r}") from None
    return getattr(import_module(f"codin.gateway.grpc.{home}"), name)
