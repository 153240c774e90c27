"""Functions and classes over a Worker: shipped, called, and what does not fit a frame by a file."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import codin
from codin.errors import InvalidInputError
from codin.runtime import _shipping
from codin.runtime._result import Outcome, Sink
from codin.runtime.workload import Class, Function
from codin.sandbox.base import WORKSPACE, Sandbox
from codin.sandbox.errors import WorkerProtocolError
from codin.sandbox.filesystem import MAX_READ_BYTES
from codin.sandbox.worker import frames
from codin.sandbox.worker.base import Worker, WorkerCall

_SMALL = 32 * 1024 * 1024
"""A value of more bytes goes by a file, where it may be larger than a frame."""

_FOLDER = f"{WORKSPACE}/.codin"
_INSIDE = "codin_inside"

Start = Callable[[Sequence[Any], Mapping[str, Any]], WorkerCall]


class Coder:
    """Calls what was shipped, on one Worker of one sandbox."""

    def __init__(
        self,
        sandbox: Sandbox,
        worker: Worker,
        *,
        has: set[str] | None = None,
        give_back: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.worker = worker
        self._has = set[str]() if has is None else has  # bundles that were sent already
        self._give_back = give_back

    async def end(self) -> None:
        """End the sandbox with all that is in it."""
        await self.sandbox.kill()
        await self.give_back()

    async def give_back(self) -> None:
        """Let go of the sandbox, for whoever gave it."""
        if self._give_back is not None:
            await self._give_back()

    async def call(self, workload: Function, sink: Sink) -> Outcome:
        """Call the function; what it prints and yields goes to ``sink``."""
        if not (workload.bundle or workload.pickled) and not self._may_spill():
            outcome = await self._plainly(workload, sink)
            if outcome is not None:
                return outcome
        plan = await self._plan(workload)
        return await self._shipped(
            lambda args, kwargs: self.worker.call(
                f"{_INSIDE}:call", (plan, args, kwargs), source=_source()
            ),
            plan,
            workload.args,
            workload.kwargs,
            sink,
        )

    async def construct(self, workload: Class, sink: Sink) -> Outcome:
        """Make the object that ``method`` calls methods of."""
        plan = await self._plan(workload)
        return await self._shipped(
            lambda args, kwargs: self.worker.construct(
                "it", f"{_INSIDE}:Kept", (plan, args, kwargs), source=_source()
            ),
            plan,
            workload.init_args,
            workload.init_kwargs,
            sink,
        )

    async def method(self, workload: Class, sink: Sink) -> Outcome:
        """Call the method of the object that was made."""
        plan = self._spilling()
        return await self._shipped(
            lambda args, kwargs: self.worker.method(
                "it", "call", (workload.method, plan, args, kwargs)
            ),
            plan,
            workload.args,
            workload.kwargs,
            sink,
        )

    async def _plainly(self, workload: Function, sink: Sink) -> Outcome | None:
        """The call as the Worker knows it by itself; nothing when its arguments are too large."""
        call = self.worker.call(
            workload.target, workload.args, workload.kwargs, source=workload.source
        )
        try:
            return await follow(call, sink)
        except InvalidInputError as error:
            if isinstance(error.__cause__, frames.FrameError):
                return None
            raise

    async def _plan(self, workload: Function | Class) -> dict[str, Any]:
        bundles = {}
        if workload.bundle:
            _shipping.check_bundle(workload.bundle)
            bundles[_shipping.digest(workload.bundle)] = dict(workload.bundle)
        if workload.pickled is not None:
            _shipping.check_version(await self.worker.python(), workload.target)
            bundles["unpickler"] = _shipping.unpickler()
        bundles = {name: files for name, files in bundles.items() if name not in self._has}
        self._has |= bundles.keys()
        return {
            "target": workload.target,
            "source": workload.source,
            "bundles": bundles,
            "paths": [str(Path(codin.__file__).parent.parent)],  # what was shipped may import it
            "pickled": workload.pickled,
            **self._spilling(),
        }

    def _spilling(self) -> dict[str, Any]:
        if not self._may_spill():
            return {}
        most = self.sandbox.limits.output_bytes
        most = MAX_READ_BYTES if most is None else min(most, MAX_READ_BYTES)
        answer = f"{_FOLDER}/{uuid.uuid4().hex}"
        return {"answer": answer, "most": most, "small": _SMALL}

    def _may_spill(self) -> bool:
        """Whether a value may be larger than a frame; else the limit of output is met first."""
        most = self.sandbox.limits.output_bytes
        return most is None or most > frames.MAX_FRAME

    async def _shipped(
        self,
        start: Start,
        plan: dict[str, Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        sink: Sink,
    ) -> Outcome:
        try:
            outcome = await follow(start(list(args), dict(kwargs)), sink)
        except InvalidInputError as error:
            if not isinstance(error.__cause__, frames.FrameError):
                raise
            plan["given"] = await self._by_file(args, kwargs)
            outcome = await follow(start([], {}), sink)
        if plan.get("answer") is not None and outcome.value == {"codin-spilled": True}:
            outcome.value = await self._spilled(plan)
        return outcome

    async def _by_file(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        message = {"t": "given", "args": list(args), "kwargs": dict(kwargs)}
        try:
            data = await asyncio.to_thread(frames.pack, message, limit=MAX_READ_BYTES)
        except (TypeError, frames.FrameError) as error:
            raise InvalidInputError(f"the arguments cannot be sent: {error}") from error
        path = f"{_FOLDER}/{uuid.uuid4().hex}"
        await self.sandbox.fs.write(path, data[frames.LENGTH.size :])
        return path

    async def _spilled(self, plan: dict[str, Any]) -> Any:
        data = await self.sandbox.fs.read(plan["answer"])
        await self.sandbox.fs.remove(plan["answer"])
        try:
            message = await asyncio.to_thread(frames.unpack, data[frames.LENGTH.size :])
        except frames.FrameError as error:
            raise WorkerProtocolError(f"the value is not what was agreed: {error}") from error
        return message.get("value")


async def follow(call: WorkerCall, sink: Sink) -> Outcome:
    """Pass on what a call prints and yields, as it comes; give its value.

    Raises what the call does.
    """
    items = asyncio.create_task(_pass_items(call, sink))
    try:
        async for chunk in call.output():
            sink.chunk(chunk)
        value: Any = await call
    except asyncio.CancelledError:
        await asyncio.shield(call.cancel())
        raise
    finally:
        await asyncio.wait([items])  # what was yielded before an error is given too
    return Outcome(value=value, usage=call.usage)


async def _pass_items(call: WorkerCall, sink: Sink) -> None:
    async for item in call.items():
        sink.item(item)


@cache
def _source() -> str:
    return Path(__file__).with_name("_inside.py").read_text("utf-8")
