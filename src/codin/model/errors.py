"""What can go wrong with a language model, each with what to do about it."""

from __future__ import annotations

from codin.errors import CodinError, InvalidInputError


class ModelError(CodinError):
    """Base of the errors of language models."""


class NoModelAvailable(ModelError):
    """No provider key, no Ollama, no local weights; the message names every way to get a model."""


class UnknownModel(ModelError, InvalidInputError):
    """A provider string that names no known provider, or lacks the model's name."""


class ModelUnavailable(ModelError):
    """The model cannot be reached, is not installed, or its process died."""


class ModelTimeout(ModelError):
    """No answer within the time that was given."""


class ModelRefused(ModelError):
    """The provider turned the request down: key, quota, policy or a faulty request.

    ``status`` is the HTTP status that the provider gave.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class BadModelOutput(ModelError):
    """The model answered, but with nothing that fits what was asked for."""


class ContextTooLong(ModelError):
    """The request holds more text than the model can take."""


class BudgetExceeded(ModelError):
    """The run has used the tokens that it was granted."""


class PullError(ModelError):
    """No source gave the weights; the message has what each of them said."""


class ChecksumMismatch(PullError):
    """A file is not the one that was pinned. It has been removed."""
