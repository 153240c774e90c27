"""A2A 1.0 over HTTP: each agent's card, JSON-RPC and HTTP+JSON under one base URL."""

from __future__ import annotations

from codin.gateway.a2a.mounting import AgentsApp, Serving, a2a_routes

__all__ = ["AgentsApp", "Serving", "a2a_routes"]
