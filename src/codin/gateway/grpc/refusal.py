"""Errors as gRPC says them: a status, with A2A's reason in its details.

A2A 1.0, section 10.6: each A2A error has its gRPC code, and a ``google.rpc.ErrorInfo`` with the
error's name and the domain ``a2a-protocol.org``.
"""

from __future__ import annotations

import logging
from typing import NoReturn

import grpc
from a2a.utils.errors import A2A_ERROR_MAPPING, A2AError, InvalidParamsError
from a2a.utils.proto_utils import validation_errors_to_bad_request
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from codin.errors import CodinError, InvalidInputError, NotFoundError
from codin.gateway.errors import LimitReached, Unauthenticated, inside
from codin.security import ForbiddenError
from codin.task.errors import is_away

logger = logging.getLogger(__name__)

DOMAIN = "a2a-protocol.org"
DETAILS_KEY = "grpc-status-details-bin"
MAX_SENTENCE_BYTES = 512
"""What a status says travels in trailing metadata, twice, of which clients take 8 KiB by default;
encoded a byte may become three."""
_MAX_DETAILS_BYTES = 2048

_OWN = {
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    LimitReached: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
}


class CallEnded(CodinError):
    """The server ends a call that could have gone on: ``code`` tells the client why."""

    def __init__(self, code: grpc.StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


async def refuse(rpc: grpc.aio.ServicerContext, error: Exception) -> NoReturn:
    """End the call with the status that ``error`` is; what is no client's business is logged.

    Raises:
        grpc.aio.AbortError: always; gRPC takes it as the end of the call.
    """
    code, sentence = _code(error)
    sentence = _cut(sentence)
    status = _status(error, code, sentence)
    if status is not None:
        rest = tuple(rpc.trailing_metadata() or ())
        rpc.set_trailing_metadata((*rest, (DETAILS_KEY, status.SerializeToString())))
    await rpc.abort(code, sentence)
    raise AssertionError("a call that was aborted goes on")


def _code(error: Exception) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, A2AError):
        mapping = A2A_ERROR_MAPPING.get(_known(error))
        name = mapping.grpc_status if mapping else "INTERNAL"
        return grpc.StatusCode[name], error.message
    if isinstance(error, CallEnded):
        return error.code, str(error)
    for kind, code in _OWN.items():
        if isinstance(error, kind):
            return code, str(error)
    logger.error("a gRPC call failed: %s", error, exc_info=error)
    if is_away(error):
        return grpc.StatusCode.UNAVAILABLE, inside(error)
    if isinstance(error, CodinError):
        return grpc.StatusCode.INTERNAL, str(error)
    return grpc.StatusCode.INTERNAL, inside(error)


def _known(error: A2AError) -> type[A2AError]:
    """The class that A2A has a word for: the error's own, or the one it was derived from."""
    return next((kind for kind in type(error).__mro__ if kind in A2A_ERROR_MAPPING), A2AError)


def _status(error: Exception, code: grpc.StatusCode, sentence: str) -> status_pb2.Status | None:
    """What programs are told beside the code, of errors that have more to say."""
    status = status_pb2.Status(code=code.value[0], message=sentence)
    if isinstance(error, LimitReached):
        wait = Duration(seconds=error.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=wait))
        return status
    if not isinstance(error, A2AError):
        return None
    mapping = A2A_ERROR_MAPPING.get(_known(error))
    reason = mapping.reason if mapping else "INTERNAL_ERROR"
    _attach(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if isinstance(error, InvalidParamsError) and error.data and error.data.get("errors"):
        _attach(status, validation_errors_to_bad_request(error.data["errors"]))
    return status


def _attach(status: status_pb2.Status, detail: Message) -> None:
    if detail.ByteSize() <= _MAX_DETAILS_BYTES:
        status.details.add().Pack(detail)


def _cut(sentence: str) -> str:
    encoded = sentence.encode(errors="replace")
    if len(encoded) <= MAX_SENTENCE_BYTES:
        return encoded.decode()
    return encoded[: MAX_SENTENCE_BYTES - 3].decode(errors="ignore") + "..."
