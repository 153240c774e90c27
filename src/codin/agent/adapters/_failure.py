"""Errors of frameworks and model clients as the event that ends a run."""

from __future__ import annotations

from collections.abc import Iterator

from codin.agent.events import Failed
from codin.agent.response import failure

_UNREACHABLE = {"APIConnectionError", "ConnectError", "ConnectTimeout", "ModelConnectionError"}
_TIMED_OUT = {"APITimeoutError", "ReadTimeout", "ModelTimeoutError"}
_REFUSED = {"APIStatusError", "ModelAPIError"}


def explain(error: Exception) -> Failed:
    """``error`` as a ``Failed`` event; those of model clients say that it was the model."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & _TIMED_OUT:
        return Failed(error_type="ModelTimeout", message=_model("did not answer in time", error))
    if names & _UNREACHABLE:
        return Failed(error_type="ModelUnreachable", message=_model("cannot be reached", error))
    if names & _REFUSED:
        return Failed(error_type="ModelError", message=_model("answered with an error", error))
    return failure(error)


def explain_cause(error: Exception) -> Failed:
    """``error``, or the error of a model client that a framework has wrapped in it, as a
    ``Failed`` event."""
    for cause in causes(error):
        if any(cls.__name__ == "APIError" for cls in type(cause).__mro__):
            return explain(cause)
    return explain(error)


def causes(error: BaseException | None) -> Iterator[Exception]:
    """``error`` and what led to it, the latest first."""
    while error is not None:
        if isinstance(error, Exception):
            yield error
        error = error.__cause__ or error.__context__


class TooManySteps(Exception):
    """A run asked its model more often than it may."""


def too_many_steps(agent_id: str, limit: int) -> Failed:
    """The end of a run that asked its model more often than it may."""
    return Failed(
        error_type="TooManySteps",
        message=f"{agent_id} came to no answer within {limit} model calls",
    )


def _model(what: str, error: Exception) -> str:
    cause = error.__cause__ or error
    return f"the agent's model {what}: {error}" + (
        f" ({type(cause).__name__}: {cause})" if cause is not error and str(cause) else ""
    )
