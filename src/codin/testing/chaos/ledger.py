"""The ledger of effects: a file that the workers' tool writes into, outside of log and memory."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

FILE = "effects"
_END = "."


class EffectLedger:
    """One line for each time that an effect came, by the idempotency key of its call.

    A line is written by one call of the system, at the end of the file. Such a call may be cut
    short where a page ends, when its process is killed: a line begins anew and has a mark at its
    end, so that what is left of one that was cut counts for nothing and spoils no other.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def add(self, key: str) -> None:
        """The effect of the call ``key`` comes."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, f"\n{key}{_END}\n".encode())
        finally:
            os.close(file)

    def counts(self) -> Counter[str]:
        """How often each effect came."""
        try:
            lines = self.path.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return Counter()
        return Counter(line.removesuffix(_END) for line in lines if line.endswith(_END))
