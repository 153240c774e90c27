"""Settings of tools that come from elsewhere: APIs that are described in OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from codin.config.section import Section
from codin.security.credentials import Credential

Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,23}$")]
"""What stands before the names of the tools of one source, and ``_``."""


class OpenApiSettings(Section):
    """An API. ``document`` is its OpenAPI document, a file or an address; ``operations`` are
    patterns of those that are taken (by id, tag, or ``"GET /path"``), all without any; ``server``
    is where the API is when it is not where the document says. ``credentials`` are by the names of
    the document's security schemes. ``schema_chars`` is how large the schema of one tool may be.
    """

    document: str = Field(min_length=1)
    operations: tuple[str, ...] = ()
    server: str | None = None
    variables: Mapping[str, str] = {}
    credentials: Mapping[str, Credential] = {}
    schema_chars: int = Field(default=24_000, ge=1_000)
