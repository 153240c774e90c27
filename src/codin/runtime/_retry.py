"""Trying a run again, as its workload asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from codin.runtime._result import Outcome, Sink, Work
from codin.runtime.base import RuntimeFailure
from codin.runtime.workload import Retry
from codin.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from tenacity import RetryCallState

After = Callable[[Outcome], float | None]
"""How long the other side asks to be left alone, in seconds, where it says so."""


def worth_it(retry: Retry, outcome: Outcome) -> bool:
    """Whether ``retry`` names why ``outcome`` is no good."""
    names = set(outcome.limits_hit)
    if outcome.failure is not None:
        names.add(outcome.failure.type_name)
    if outcome.exit_code not in (None, 0):
        names.add("exit_code")
    if isinstance(outcome.value, dict) and isinstance(outcome.value.get("status"), int):
        names.add(str(outcome.value["status"]))
    failed = outcome.failure is not None or outcome.exit_code not in (None, 0)
    return failed and (not retry.on or not names.isdisjoint(retry.on))


def retried(
    retry: Retry,
    first: Work,
    again: Callable[[], Awaitable[Work]],
    *,
    after: After = lambda _: None,
    silently: bool = False,
) -> Work:
    """``first``, and then what ``again`` gives, until one ends well or there were enough.

    What has given an item is not repeated, nor, with ``silently``, what has given any output.

    Raises:
        RuntimeFailure: what this needs is not installed.
    """
    try:
        from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt
    except ImportError:
        raise RuntimeFailure("retries need tenacity: pip install 'codin[platform]'") from None

    async def work(sink: Sink) -> Outcome:
        works = iter([first])

        async def attempt() -> Outcome:
            try:
                return await (next(works, None) or await again())(sink)
            except (SandboxError, RuntimeFailure) as error:
                return Outcome.of_error(error)

        def is_worth_it(outcome: Outcome) -> bool:
            seen = sink.items or (silently and sink.chunks)
            soon = (after(outcome) or 0) <= retry.most_seconds
            return not seen and soon and worth_it(retry, outcome)

        retrying = AsyncRetrying(
            retry=retry_if_result(is_worth_it),
            stop=stop_after_attempt(retry.times + 1),
            wait=_Wait(retry, after),
            retry_error_callback=_last,
        )
        outcome: Outcome = await retrying(attempt)
        outcome.attempts = int(retrying.statistics.get("attempt_number", 1))
        return outcome

    return work


class _Wait:
    def __init__(self, retry: Retry, after: After) -> None:
        from tenacity import wait_random_exponential

        self._after = after
        self._grown = wait_random_exponential(
            multiplier=retry.first_seconds, min=retry.first_seconds / 2, max=retry.most_seconds
        )

    def __call__(self, state: RetryCallState) -> float:
        asked = self._after(_last(state))
        return self._grown(state) if asked is None else asked


def _last(state: RetryCallState) -> Outcome:
    assert state.outcome is not None
    outcome: Outcome = state.outcome.result()
    return outcome
