"""What lets the platform in elsewhere: credentials, as settings have them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from codin.security.secrets import SecretRef


class _Credential(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiKey(_Credential):
    """A key that goes where the scheme says."""

    kind: Literal["api_key"] = "api_key"
    value: SecretRef


class Bearer(_Credential):
    """A token that somebody made."""

    kind: Literal["bearer"] = "bearer"
    token: SecretRef


class Basic(_Credential):
    """A name and a password (RFC 7617)."""

    kind: Literal["basic"] = "basic"
    username: str
    password: SecretRef


class ClientCredentials(_Credential):
    """A client that fetches tokens for itself (RFC 6749, section 4.4), and new ones in time.

    ``token_url`` and ``scopes`` are the scheme's and the operation's where they are not given.
    """

    kind: Literal["client_credentials"] = "client_credentials"
    client_id: str
    client_secret: SecretRef
    token_url: str | None = None
    scopes: tuple[str, ...] | None = None


Credential = Annotated[ApiKey | Bearer | Basic | ClientCredentials, Field(discriminator="kind")]
