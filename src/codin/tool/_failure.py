"""What went wrong in a sandbox, in words for the caller of a tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from codin.sandbox.errors import (
    OutOfMemory,
    OutputLimit,
    RemoteError,
    SandboxError,
    SandboxGone,
    SandboxTimeout,
)
from codin.tool.base import ToolFailed, ToolLimits, ToolOutputLimit, ToolTimeout, ToolUnavailable

if TYPE_CHECKING:
    from codin.runtime.base import RuntimeResult


def timed_out(name: str, seconds: float, hint: str = "") -> ToolTimeout:
    """The error of a call that took longer than ``seconds``."""
    text = f"{name} took longer than {seconds:g} seconds and was stopped. {hint}"
    return ToolTimeout(text.strip())


def raise_sandbox(
    name: str, limits: ToolLimits, error: SandboxError, *, hint: str = ""
) -> NoReturn:
    """Raise what ``error`` means for the caller of the tool ``name``."""
    match error:
        case SandboxTimeout():
            raise timed_out(name, limits.seconds, hint) from error
        case OutputLimit():
            raise _too_much(name) from error
        case OutOfMemory():
            raise _too_big(name, limits, hint) from error
        case RemoteError():
            raise ToolFailed(f"{name} failed: {error}") from error
        case SandboxGone():
            # The next call has a new one.
            raise ToolUnavailable(f"{name} failed: {error} {hint}".strip()) from error
    raise ToolFailed(f"{name} failed: {error} {hint}".strip()) from error


def raise_for(name: str, limits: ToolLimits, result: RuntimeResult) -> None:
    """Return when ``result`` ended well; raise the tool's error otherwise."""
    hit = set(result.limits_hit)
    kind = result.failure.type_name if result.failure else ""
    if hit & {"wall_seconds", "cpu_seconds"} or kind == "SandboxTimeout":
        raise timed_out(name, limits.seconds)
    if "output_bytes" in hit or kind == "OutputLimit":
        raise _too_much(name)
    if "memory_bytes" in hit or kind == "OutOfMemory":
        raise _too_big(name, limits)
    if result.failure is not None:
        raise ToolFailed(f"{name} failed: {kind}: {result.failure.message}")


def _too_much(name: str) -> ToolOutputLimit:
    return ToolOutputLimit(
        f"{name} printed more than its limit and was stopped. Print less: a summary, or the first "
        "rows; write long output to a file."
    )


def _too_big(name: str, limits: ToolLimits, hint: str = "") -> ToolFailed:
    size = limits.memory_bytes // (1024 * 1024)
    return ToolFailed(
        f"{name} needed more than {size} MiB of memory and was stopped. Work on less data at "
        f"once. {hint}".strip()
    )
