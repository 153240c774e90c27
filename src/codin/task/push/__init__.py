"""Push notifications: configs, and their delivery out of the log.

The names that need an HTTP client or the A2A server's parts are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names
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
    "courier": ("RetryPolicy",),
    "delivery": ("PushDelivery",),
    "http": ("HttpPushSender",),
    "service": (
        "PushNotifications",
        "open_push",
    ),
    "stored": ("StoredPushConfigs",),
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

__getattr__ = lazy_names(__name__, _HOMES)
