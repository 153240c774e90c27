"""A2A over gRPC: every agent of the gateway on one port, from the same handlers as over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.gateway.grpc.limits import GrpcLimits
    from codin.gateway.grpc.server import GrpcServer

_HOMES = {"limits": ("GrpcLimits",), "server": ("GrpcServer",)}

__all__ = ["GrpcLimits", "GrpcServer"]

__getattr__ = lazy_names(__name__, _HOMES)
