"""Sandboxes whose system calls go to a kernel of their own: gVisor's, in user space."""

from codin.sandbox.gvisor.provider import GvisorSandboxProvider

__all__ = ["GvisorSandboxProvider"]
