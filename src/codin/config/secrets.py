"""Settings of secrets that functions ask for by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from codin.security.secrets import SecretRef

SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""What a secret is called."""


class SecretSettings(SecretRef):
    """Where a secret is, and who may have it: ``tools`` are the names of functions, or patterns of
    names. Nobody else is given it."""

    tools: tuple[str, ...] = Field(min_length=1)
