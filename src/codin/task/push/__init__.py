"""Push notifications: configs, and their delivery out of the log.

The names that need an HTTP client or the A2A server's parts are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codin.task.push.base import (
    Claim,
    DeadLetter,
    DeadLetterPage,
    Notification,
    PushConfig,
    PushConfigStore,
    PushPage,
    PushSender,
    UrlGuard,
)
from codin.task.push.errors import (
    DeliveryFailed,
    PushConfigRefused,
    PushError,
    PushStoreError,
    SignatureRefused,
    UnknownPushConfig,
)
from codin.task.push.signing import (
    BodySigner,
    ClaimsSigner,
    Ed25519Key,
    JwtBodySigner,
    verify_body,
)

if TYPE_CHECKING:
    from codin.task.push.courier import RetryPolicy
    from codin.task.push.delivery import PushDelivery
    from codin.task.push.http import HttpPushSender
    from codin.task.push.service import PushNotifications, open_push
    from codin.task.push.stored import StoredPushConfigs

_HOMES = {
    "HttpPushSender": "codin.task.push.http",
    "PushDelivery": "codin.task.push.delivery",
    "PushNotifications": "codin.task.push.service",
    "RetryPolicy": "codin.task.push.courier",
    "StoredPushConfigs": "codin.task.push.stored",
    "open_push": "codin.task.push.service",
}

__all__ = [
    "BodySigner",
    "Claim",
    "ClaimsSigner",
    "DeadLetter",
    "DeadLetterPage",
    "DeliveryFailed",
    "Ed25519Key",
    "HttpPushSender",
    "JwtBodySigner",
    "Notification",
    "PushConfig",
    "PushConfigRefused",
    "PushConfigStore",
    "PushDelivery",
    "PushError",
    "PushNotifications",
    "PushPage",
    "PushSender",
    "PushStoreError",
    "RetryPolicy",
    "SignatureRefused",
    "StoredPushConfigs",
    "UnknownPushConfig",
    "UrlGuard",
    "open_push",
    "verify_body",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'codin.task.push' has no attribute {name!r}") from None
    return getattr(import_module(home), name)
