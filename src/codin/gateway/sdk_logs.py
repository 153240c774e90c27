"""Keeps what clients do wrong out of the operator's log.

The SDK logs each malformed request as a warning, or as an error with a traceback, although its
client is told. What went wrong on our side stays.
"""

from __future__ import annotations

import logging

from google.protobuf.json_format import ParseError
from jsonrpc.exceptions import JSONRPCInvalidRequestException  # type: ignore[import-untyped]

_LOGGERS = ("a2a.server.routes.jsonrpc_dispatcher", "a2a.utils.error_handlers")
_CLIENT_FAULTS = (JSONRPCInvalidRequestException, ParseError)


def _is_ours(record: logging.LogRecord) -> bool:
    fault = record.exc_info[1] if record.exc_info else None
    return record.levelno >= logging.ERROR and not isinstance(fault, _CLIENT_FAULTS)


def quiet_client_faults() -> None:
    """From now on the SDK logs only what its client cannot be blamed for. Twice changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_ours)
