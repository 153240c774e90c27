"""Secrets that a workload names, and that are looked up only when it is run."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from codin.errors import NotFoundError

HIDDEN = b"[secret]"
"""What stands where a secret stood."""


@dataclass(frozen=True, slots=True)
class SecretRef:
    """The name of a secret, and where it goes: ``header: scheme value``."""

    name: str
    header: str = "Authorization"
    scheme: str = "Bearer"


class Secrets(ABC):
    """Where secrets are found by name."""

    @abstractmethod
    async def get(self, name: str, *, owner: str) -> str:
        """The secret of that name that ``owner`` may use.

        Raises:
            NotFoundError: there is none.
        """


class EnvironmentSecrets(Secrets):
    """``CODIN_SECRET_NAME`` in the environment of this process, for every owner."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    async def get(self, name: str, *, owner: str) -> str:
        variable = "CODIN_SECRET_" + re.sub(r"\W", "_", name).upper()
        value = self._environment.get(variable)
        if not value:
            raise NotFoundError(f"there is no secret {name!r}: set {variable}")
        return value


class Redactor:
    """Takes a secret out of bytes that come in pieces, also where a piece ends within it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be given on by now."""
        text = (self._held + data).replace(self._secret, HIDDEN)
        most = min(len(self._secret) - 1, len(text))
        held = next((n for n in range(most, 0, -1) if self._secret.startswith(text[-n:])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> bytes:
        """What was held back, at the end."""
        held, self._held = self._held, b""
        return held

    def clean(self, text: str) -> str:
        """``text`` without the secret."""
        return text.replace(self._secret.decode(), HIDDEN.decode())
