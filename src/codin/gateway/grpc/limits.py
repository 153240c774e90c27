"""Bounds on what one client of the gRPC server may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """Times are in seconds.

    ``calls`` bounds the calls of all clients at once, ``streams`` those of one connection, and
    ``metadata_bytes`` what a call's metadata may have. A connection that is silent for
    ``keepalive`` is asked for a sign of life, and closed when none comes within
    ``keepalive_timeout``. A client that takes nothing of its stream for ``write`` loses it. What
    is under way when the server stops has ``grace`` to end by itself; streams end at once.
    """

    calls: int = 8192
    streams: int = 2048
    metadata_bytes: int = 16 * 1024
    keepalive: float = 30.0
    keepalive_timeout: float = 10.0
    write: float = 30.0
    grace: float = 1.0

    def options(self, max_message_bytes: int) -> list[tuple[str, int]]:
        """As gRPC's channel arguments."""
        return [
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_metadata_size", self.metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.metadata_bytes),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.keepalive_time_ms", int(self.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout * 1000)),
            ("grpc.http2.ping_timeout_ms", int(self.keepalive_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            # Two servers on one port would each get some of the calls.
            ("grpc.so_reuseport", 0),
        ]
