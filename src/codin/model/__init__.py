"""Language models: which one to use, how to ask it, and the proxy by which agents reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.model.base import CallContext, ChatMessage, Meter, ModelClient, ModelUsage, Weigher
    from codin.model.catalog import BASIC_LABEL, ModelChoice, discover, parse
    from codin.model.doctor import ModelReport, describe_models
    from codin.model.embedded.pull import Progress, pull
    from codin.model.errors import (
        BadModelOutput,
        BudgetExceeded,
        ChecksumMismatch,
        ContextTooLong,
        ModelError,
        ModelRefused,
        ModelTimeout,
        ModelUnavailable,
        NoModelAvailable,
        PullError,
        UnknownModel,
    )
    from codin.model.metering import MemoryMeter
    from codin.model.proxy import model_proxy
    from codin.model.service import ModelService

_HOMES = {
    "base": (
        "CallContext",
        "ChatMessage",
        "Meter",
        "ModelClient",
        "ModelUsage",
        "Weigher",
    ),
    "catalog": (
        "BASIC_LABEL",
        "ModelChoice",
        "discover",
        "parse",
    ),
    "doctor": (
        "ModelReport",
        "describe_models",
    ),
    "embedded.pull": (
        "Progress",
        "pull",
    ),
    "errors": (
        "BadModelOutput",
        "BudgetExceeded",
        "ChecksumMismatch",
        "ContextTooLong",
        "ModelError",
        "ModelRefused",
        "ModelTimeout",
        "ModelUnavailable",
        "NoModelAvailable",
        "PullError",
        "UnknownModel",
    ),
    "metering": ("MemoryMeter",),
    "proxy": ("model_proxy",),
    "service": ("ModelService",),
}

__all__ = [
    "BASIC_LABEL",
    "BadModelOutput",
    "BudgetExceeded",
    "CallContext",
    "ChatMessage",
    "ChecksumMismatch",
    "ContextTooLong",
    "MemoryMeter",
    "Meter",
    "ModelChoice",
    "ModelClient",
    "ModelError",
    "ModelRefused",
    "ModelReport",
    "ModelService",
    "ModelTimeout",
    "ModelUnavailable",
    "ModelUsage",
    "NoModelAvailable",
    "Progress",
    "PullError",
    "UnknownModel",
    "Weigher",
    "describe_models",
    "discover",
    "model_proxy",
    "parse",
    "pull",
]

__getattr__ = lazy_names(__name__, _HOMES)
