"""Marks a plan against a case of `plans.yaml`; the rule is in that file's head."""

from codin.evaluation.marking import Step, ancestors, fits, right, waits

__all__ = ["Step", "ancestors", "fits", "right", "waits"]
