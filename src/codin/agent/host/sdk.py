"""What a host uses of the A2A SDK's server, imported without what it does not use.

The SDK imports SQLAlchemy and FastAPI where they are installed, for stores and routes that a host
has no use for: more than half of the time that a host needs to get ready (1.5 of 2.6 s measured).
It copes when they are not there, and agents import them afterwards all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _absent(*packages: str) -> Iterator[None]:
    hidden = [package for package in packages if package not in sys.modules]
    for package in hidden:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for package in hidden:
            del sys.modules[package]


with _absent("sqlalchemy", "fastapi"):
    from a2a.server.agent_execution import AgentExecutor, RequestContext
    from a2a.server.events import EventQueue
    from a2a.server.request_handlers import DefaultRequestHandler
    from a2a.server.routes import (
        create_agent_card_routes,
        create_jsonrpc_routes,
        create_rest_routes,
    )
    from a2a.server.tasks import InMemoryTaskStore

__all__ = [
    "AgentExecutor",
    "DefaultRequestHandler",
    "EventQueue",
    "InMemoryTaskStore",
    "RequestContext",
    "create_agent_card_routes",
    "create_jsonrpc_routes",
    "create_rest_routes",
]
