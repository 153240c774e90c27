"""Measuring: what the platform does beside what people would use instead, in the same run."""

from __future__ import annotations

from codin.bench.base import BenchError, BenchReport, Compared, Measure, machine

__all__ = ["BenchError", "BenchReport", "Compared", "Measure", "machine"]
