"""What goes wrong at the HTTP face."""

from __future__ import annotations

from codin.errors import CodinError


class GatewayError(CodinError):
    """Base of the gateway's errors."""


class AddressInUse(GatewayError):
    """Another program listens there already."""


class UnsafeAddress(GatewayError):
    """The address can be reached from other machines, and nobody would be asked who they are."""


class Unauthenticated(GatewayError):
    """Nobody whom the gateway knows. The message is shown to the caller."""
