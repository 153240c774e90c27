"""Measuring: what the platform does beside what people would use instead, in the same run."""

from __future__ import annotations

from codin.bench.base import (
    Aimed,
    BenchError,
    BenchReport,
    Compared,
    Measure,
    Unavailable,
    machine,
)

__all__ = [
    "Aimed",
    "BenchError",
    "BenchReport",
    "Compared",
    "Measure",
    "Unavailable",
    "machine",
]
