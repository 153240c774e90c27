"""What a benchmark gives: figures beside those of a baseline, and the machine they are from."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from codin.errors import CodinError


class BenchError(CodinError):
    """A benchmark could not be run, or an answer in it was wrong."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure beside the baseline's. ``ratio`` is ``value`` over ``baseline_value``; ``runs`` is
    the number of rounds of which both are the medians."""

    metric: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    ratio: float
    runs: int


@dataclass(frozen=True, slots=True)
class Aimed(Compared):
    """A figure that was to be something: ``aim`` in words, and whether it is so."""

    aim: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A figure that this machine could not give, why, and how to get it."""

    metric: str
    reason: str


@dataclass(slots=True)
class Measure:
    """The figures of a metric, round by round, by the name of what was measured."""

    metric: str
    unit: str
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Take in the figure of ``name`` in one round."""
        self.rounds.setdefault(name, []).append(value)

    def compared(self, name: str, baseline: str, *, metric: str | None = None) -> Compared:
        """``name`` beside ``baseline``; ``metric`` when it is called otherwise there."""
        value, other = median(self.rounds[name]), median(self.rounds[baseline])
        return Compared(
            metric=metric or self.metric,
            value=_rounded(value),
            unit=self.unit,
            baseline=baseline,
            baseline_value=_rounded(other),
            ratio=_rounded(value / other if other else float("inf")),
            runs=len(self.rounds[name]),
        )


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All that one run of a benchmark found."""

    bench: str
    results: Sequence[Compared]
    unavailable: Sequence[Unavailable] = ()

    def to_json(self) -> dict[str, Any]:
        """The object that programs read."""
        found = [asdict(one) for one in self.results]
        report = {"bench": self.bench, "machine": machine(), "results": found}
        if self.unavailable:
            report["unavailable"] = [asdict(one) for one in self.unavailable]
        return report


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0, 0.0)
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
        "memory_mb": _memory_mb(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(one, 2) for one in load],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return None


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
