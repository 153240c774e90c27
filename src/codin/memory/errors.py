"""What a memory raises."""

from __future__ import annotations

from codin.errors import CodinError, InvalidInputError


class MemoryFailure(CodinError):
    """Base of the memory's errors: the store cannot be read or written."""


class ScopeError(MemoryFailure):
    """The scope is too wide for this call, or cannot be one; the message says what it lacks."""


class EmbeddingError(MemoryFailure, InvalidInputError):
    """A vector cannot be used: it has a wrong size, is no direction, or is of another embedder than
    those that it would be kept with or compared to."""
