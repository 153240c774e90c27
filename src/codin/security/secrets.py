"""Secrets by reference: settings name where one is, and it is read when it is used."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, model_validator

from codin.security.errors import SecretMissing

HIDDEN = "[secret]"
"""What stands where a secret was."""
_SHORTEST = 6
_MOST_BYTES = 64 * 1024


class SecretRef(BaseModel):
    """Where a secret is: in a variable of the platform's environment, or in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError(
                'a secret is named by env = "NAME" or by file = "path": one of the two'
            )
        return self

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env else f"file {self.file}"

    async def read(self) -> str:
        """The secret, as it is now.

        Raises:
            SecretMissing: there is none, or an empty one.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
        else:
            assert self.file is not None
            value = await asyncio.to_thread(_read, self.file)
        if not value.strip():
            raise SecretMissing(f"there is no secret in the {self}: set it, and try again")
        return value.strip()


async def read_secrets(
    values: Mapping[str, str | SecretRef],
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The values, and those of them that were secrets.

    Raises:
        SecretMissing: one of the secrets is not there.
    """
    read = {
        name: value if isinstance(value, str) else await value.read()
        for name, value in values.items()
    }
    secrets = tuple(read[name] for name, value in values.items() if not isinstance(value, str))
    return read, secrets


def forms(secrets: Iterable[str]) -> frozenset[str]:
    """``secrets`` as they are, as they are written in a URL, and as they are written in JSON."""
    return frozenset(
        form
        for one in secrets
        if one
        for form in (one, quote(one, safe=""), _json(one), _json(one, ensure_ascii=False))
    )


def hide(text: str, secrets: Iterable[str]) -> str:
    """``text`` with each of ``secrets`` taken out. What is very short is no secret, and stays."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text


def _json(text: str, *, ensure_ascii: bool = True) -> str:
    return json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode(errors="replace")
    except OSError as error:
        raise SecretMissing(f"the secret in {file} cannot be read: {error.strerror}") from error
