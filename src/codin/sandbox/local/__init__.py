"""Sandboxes on this machine, made by bubblewrap: Linux, by root or by anybody."""

from codin.sandbox.local.provider import LocalSandboxProvider

__all__ = ["LocalSandboxProvider"]
