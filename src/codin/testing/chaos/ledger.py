"""The ledger of effects: a file that the workers' tool writes into, outside of log and memory."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

FILE = "effects"


class EffectLedger:
    """One line for each time that an effect came, by the idempotency key of its call.

    A line is written by one call of the system, at the end of the file: it is there whole or not at
    all, whoever is killed when, and whoever else writes.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def add(self, key: str) -> None:
        """The effect of the call ``key`` comes."""
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, f"{key}\n".encode())
        finally:
            os.close(file)

    def counts(self) -> Counter[str]:
        """How often each effect came."""
        try:
            return Counter(self._path.read_text(encoding="ascii").split())
        except FileNotFoundError:
            return Counter()
