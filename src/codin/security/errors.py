"""What goes wrong about who calls and what they may do."""

from __future__ import annotations

from codin.errors import CodinError, InvalidInputError


class SecurityFailure(CodinError):
    """Where keys and the audit log are kept cannot be used."""


class CredentialError(CodinError):
    """The credential is no good: unknown, revoked, too old, for somebody else, or forged.

    The message may be shown to whoever sent it: it says nothing of what is kept.
    """


class ForbiddenError(CodinError):
    """The principal lacks the permission."""


class OutgoingRefused(InvalidInputError):
    """The platform does not connect there."""


class SecretMissing(CodinError):
    """A secret is not where the settings say."""


class CardSignatureError(CodinError):
    """The card carries no signature that holds."""
