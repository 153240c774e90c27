"""Unit vectors that are searched by comparing all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from codin.memory.embedder import numpy

if TYPE_CHECKING:
    from numpy import bool_, float32, float64, int32, int64
    from numpy.typing import NDArray

Place = tuple[str, str]
"""An agent and a session; empty is none."""

_FEW = 8
"""When fewer than one of so many is looked at, gathering them is faster than comparing all."""
_FIRST = 64
_DEAD = 4


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors side by side with what says whether each is looked at. Never changed once it is
    made."""

    ids: NDArray[int64]
    vectors: NDArray[float32]
    places: NDArray[int32]
    expires: NDArray[float64]
    alive: NDArray[bool_]

    def nearest(
        self,
        vector: NDArray[float32],
        count: int,
        *,
        now: float,
        places: Sequence[int] | None = None,
        among: Sequence[int] | None = None,
    ) -> list[tuple[int, float]]:
        """The ids of the ``count`` nearest and their cosines, the nearest first; of those in
        ``places`` and ``among`` those ids, where these are given."""
        np = numpy()
        wanted = self.alive & (self.expires > now)
        if places is not None:
            wanted &= np.isin(self.places, np.asarray(places, dtype=np.int32))
        if among is not None:
            wanted &= np.isin(self.ids, np.asarray(among, dtype=np.int64))
        left = int(np.count_nonzero(wanted))
        if left * _FEW < len(wanted):
            which = np.flatnonzero(wanted)
            ids, cosines = self.ids[which], self.vectors[which] @ vector
        else:
            ids, cosines = self.ids, self.vectors @ vector
            if left < len(wanted):
                cosines[~wanted] = -np.inf
        count = min(count, left)
        if not count:
            return []
        best = np.argpartition(cosines, len(cosines) - count)[len(cosines) - count :]
        best = best[np.lexsort((ids[best], -cosines[best]))]
        near = np.clip(cosines[best], -1.0, 1.0)
        return list(zip(ids[best].tolist(), near.tolist(), strict=True))

    def take(self, which: Any) -> Rows:
        """Those of them that an index of numpy's names."""
        parts = (self.ids, self.vectors, self.places, self.expires, self.alive)
        return Rows(*(part[which] for part in parts))

    @property
    def size_bytes(self) -> int:
        """What they take of memory."""
        parts = (self.ids, self.vectors, self.places, self.expires, self.alive)
        return sum(int(part.nbytes) for part in parts)


class Matrix:
    """Vectors of one collection, to which others are added. Not for several threads at once; the
    ``rows`` that it gave stay as they were."""

    def __init__(self, dimension: int) -> None:
        self._np = numpy()
        self._dimension = dimension
        self._size = 0
        self._room = self._empty(_FIRST)
        self.places: dict[Place, int] = {}

    @property
    def size_bytes(self) -> int:
        """What it takes of memory."""
        return self._room.size_bytes

    @property
    def rows(self) -> Rows:
        """What is in it now."""
        return self._room.take(slice(self._size))

    def add(
        self,
        ids: Sequence[int],
        vectors: Sequence[bytes],
        places: Sequence[Place],
        expires: Sequence[float | None],
    ) -> None:
        """Add vectors, as the bytes of their float32; their ids are above all that were added."""
        np = self._np
        if self._size + len(ids) > len(self._room.ids):
            self._move(max(self._size + len(ids), self._size * 3 // 2))
        begin, end = self._size, self._size + len(ids)
        room = self._room
        room.ids[begin:end] = ids
        joined = np.frombuffer(b"".join(vectors), dtype=np.float32)
        room.vectors[begin:end] = joined.reshape(len(ids), self._dimension)
        room.places[begin:end] = [
            self.places.setdefault(place, len(self.places)) for place in places
        ]
        room.expires[begin:end] = [np.inf if one is None else one for one in expires]
        room.alive[begin:end] = True
        self._size = end

    def keep(self, ids: Sequence[int]) -> None:
        """Leave out all that are not among ``ids``."""
        self._keep(self._among(ids))

    def leave_out(self, ids: Sequence[int]) -> None:
        """Leave out those of ``ids``."""
        self._keep(~self._among(ids))

    def _among(self, ids: Sequence[int]) -> NDArray[bool_]:
        np = self._np
        among: NDArray[bool_] = np.isin(self.rows.ids, np.asarray(ids, dtype=np.int64))
        return among

    def _keep(self, wanted: NDArray[bool_]) -> None:
        np, room = self._np, self._room
        # A copy: rows that were given are looked at by others.
        alive = room.alive.copy()
        alive[: self._size] &= wanted
        self._room = replace(room, alive=alive)
        left = int(np.count_nonzero(alive[: self._size]))
        if left < self._size - self._size // _DEAD:
            self._move(max(left, _FIRST))

    def _move(self, capacity: int) -> None:
        """What is alive goes to where there is room for so many."""
        old = self.rows
        which = self._np.flatnonzero(old.alive)
        self._room = self._empty(capacity)
        self._size = len(which)
        new = self.rows
        for name in ("ids", "vectors", "places", "expires", "alive"):
            self._np.take(getattr(old, name), which, axis=0, out=getattr(new, name))

    def _empty(self, capacity: int) -> Rows:
        np = self._np
        return Rows(
            np.empty(capacity, dtype=np.int64),
            np.empty((capacity, self._dimension), dtype=np.float32),
            np.empty(capacity, dtype=np.int32),
            np.empty(capacity, dtype=np.float64),
            np.zeros(capacity, dtype=bool),
        )
