"""One call of a tool's implementation, tried again while that can help."""

from __future__ import annotations

import asyncio
from typing import Any

from codin.sandbox.errors import SandboxError
from codin.tool._failure import raise_sandbox, timed_out
from codin.tool.base import ToolError, ToolFailed, ToolUnavailable
from codin.tool.invocation import Invocation, RunnableTool

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0


async def attempted(tool: RunnableTool, call: Invocation, seconds: float) -> Any:
    """What the tool gives within ``seconds``, in as many attempts as its limits have.

    Raises:
        ToolTimeout: it took longer, all attempts together.
        ToolError: it failed; whatever it raises becomes one.
    """
    again = call.limits.attempts > 1 and tool.spec.effects != "once"
    try:
        async with asyncio.timeout(seconds):
            return await (_repeated(tool, call) if again else _once(tool, call))
    except TimeoutError as error:
        raise timed_out(tool.spec.name, call.limits.seconds) from error


async def _repeated(tool: RunnableTool, call: Invocation) -> Any:
    try:
        return await _once(tool, call)
    except ToolUnavailable as error:
        return await _tried_again(tool, call, error)


async def _tried_again(tool: RunnableTool, call: Invocation, failed: ToolUnavailable) -> Any:
    """What comes of the attempts after the first, which ``failed``."""
    # Not before: most calls go well at once, and would wait for what they do not need.
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
    from tenacity.wait import wait_exponential_jitter

    told = [failed]

    async def attempt() -> Any:
        if told:
            raise told.pop()  # the first one, so that it is counted and waited for
        return await _once(tool, call)

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(ToolUnavailable),
        stop=stop_after_attempt(call.limits.attempts),
        wait=wait_exponential_jitter(initial=_FIRST_WAIT, max=_LONGEST_WAIT, jitter=_FIRST_WAIT),
        sleep=asyncio.sleep,
        reraise=True,
    )
    return await retrying(attempt)


async def _once(tool: RunnableTool, call: Invocation) -> Any:
    name = tool.spec.name
    try:
        return await tool.run(call)
    except ToolError:
        raise
    except SandboxError as error:
        raise_sandbox(name, call.limits, error)
    except TimeoutError as error:
        raise ToolFailed(f"{name} failed: {error or 'TimeoutError'}") from error
    except Exception as error:
        raise ToolFailed(f"{name} failed: {type(error).__name__}: {error}") from error
