"""The root of codin's errors. Each package keeps one small hierarchy under it."""


class CodinError(Exception):
    """Base of every error that codin raises on purpose.

    A message says what was wrong, with what, and what to do about it.
    """


class NotFoundError(CodinError):
    """What was asked for is not there, or is not for the caller to know of."""


class InvalidInputError(CodinError, ValueError):
    """What was given cannot be used: the message says which part and what would do."""
