"""Vectors on their way to Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


class Numbers:
    """The numbers of vectors, one vector after the other, as one ``float4[]`` of a statement.

    As text they would be five times as long, and take longer than all else in keeping them.
    """

    def __init__(self, vectors: Sequence[NDArray[float32]] | NDArray[float32]) -> None:
        self._vectors = vectors

    def __bytes__(self) -> bytes:
        import numpy as np

        if not len(self._vectors):
            return np.array([0, 0, _FLOAT4], ">i4").tobytes()
        numbers = np.concatenate(self._vectors)
        # One dimension, no NULL, the type, how many, the first one's index; each after its length.
        head = np.array([1, 0, _FLOAT4, len(numbers), 1], ">i4")
        rows = np.empty((len(numbers), 2), ">i4")
        rows[:, 0] = 4
        rows[:, 1] = numbers.astype(np.float32).view(np.int32)
        return head.tobytes() + rows.tobytes()


_FLOAT4 = psycopg.postgres.types["float4"].oid


class _NumbersDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.postgres.types["float4"].array_oid

    def dump(self, obj: Numbers) -> bytes:
        return bytes(obj)


psycopg.adapters.register_dumper(Numbers, _NumbersDumper)


def nth_vector(place: str) -> str:
    """The SQL that takes the vector at ``place``, an expression that counts from 0, out of the
    numbers of ``%(vectors)s``, of which each has ``%(dimension)s``."""
    begin = f"({place})::int * %(dimension)s::int"
    return f"(%(vectors)s::float4[])[{begin} + 1:{begin} + %(dimension)s::int]::vector"
