"""What models, tools and people gave in a run of CrewAI's, so that it can be made again.

CrewAI asks people at the terminal, in the middle of its work, and cannot be stopped there and gone
on with. So the run ends with the question, and is made again with the answer: what was given before
is taken from the record, which travels in the state of the input request, and nobody is asked for
it twice. What is asked is known by all that it says, so that work side by side does no harm. The
code of flows and hooks themselves runs again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from codin.agent._parts import jsonable

_NOTHING = object()


class Record:
    """The record of one run; ``before`` is that of the run which is made again.

    ``live`` says that this one has come to where the other ended.
    """

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        self.live = before is None
        known = before or {"given": {}, "asked": {}}
        self._given = {str(key): list(values) for key, values in known["given"].items()}
        self._asked_before = {str(key): int(times) for key, times in known["asked"].items()}
        self._asked: dict[str, int] = {}
        self._lock = threading.Lock()

    def dump(self) -> dict[str, Any]:
        """All of it, as JSON data: what was given, and how often it was asked."""
        with self._lock:
            given = {key: list(values) for key, values in self._given.items()}
            keys = {*self._asked, *self._asked_before}
            times = {k: max(self._asked.get(k, 0), self._asked_before.get(k, 0)) for k in keys}
            return {"given": given, "asked": times}

    def take(self, key: str) -> Any:
        """What was given the next time that ``key`` was asked; ``NOTHING`` when nothing was."""
        with self._lock:
            number = self._asked.get(key, 0)
            self._asked[key] = number + 1
            values = self._given.get(key, [])
            known = number < len(values)
            # What was begun and never came to its end happened before, too.
            self.live = self.live or number >= self._asked_before.get(key, 0)
            return values[number] if known else _NOTHING

    def keep(self, key: str, value: Any) -> None:
        """``key`` was asked, and ``value`` given."""
        with self._lock:
            self._given.setdefault(key, []).append(value)

    def answer(self, key: str, value: Any) -> None:
        """A person gave ``value`` for ``key``, which nobody answered: what comes then is new."""
        self.keep(key, value)
        self._asked_before[key] -= 1

    def ask(self, key: str, encode: Callable[[Any], Any], call: Callable[[], Any]) -> Any:
        """What was given for ``key`` before; or what ``call`` gives, which is kept."""
        known = self.take(key)
        if known is not _NOTHING:
            return known
        value = call()
        if (kept := encode(value)) is not _NOTHING:
            self.keep(key, kept)
        return value

    async def ask_async(self, key: str, encode: Callable[[Any], Any], call: Any) -> Any:
        """``ask``, where ``call`` has to be awaited."""
        known = self.take(key)
        if known is not _NOTHING:
            return known
        value = await call()
        if (kept := encode(value)) is not _NOTHING:
            self.keep(key, kept)
        return value


NOTHING = _NOTHING

current_record: ContextVar[Record | None] = ContextVar("codin_crewai_record", default=None)
"""The record of the run in whose context the code runs."""


def key_of(*asked: Any) -> str:
    """A name for what is asked: the same whenever it is asked in the same words."""
    words = json.dumps(jsonable(asked), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:24]


def watch() -> None:
    """Have all models and tools of CrewAI go by the record of their run, where there is one."""
    from crewai.llms.base_llm import BaseLLM
    from crewai.tools.base_tool import BaseTool
    from crewai.tools.structured_tool import CrewStructuredTool

    # Again for each run: agents bring their own kinds of models and tools.
    for kind in _kinds(BaseLLM):
        _replace(kind, "call", _model)
        _replace(kind, "acall", _model_async)
    for kind in _kinds(BaseTool):
        _replace(kind, "run", _tool)
        _replace(kind, "arun", _tool_async)
    for kind in _kinds(CrewStructuredTool):
        _replace(kind, "invoke", _tool)
        _replace(kind, "ainvoke", _tool_async)


def _kinds(base: type[Any]) -> list[type[Any]]:
    return [base, *(kind for sub in base.__subclasses__() for kind in _kinds(sub))]


def _replace(kind: type[Any], name: str, made: Callable[[Any], Any]) -> None:
    own = vars(kind).get(name)
    if own is None or hasattr(own, "codin_records") or getattr(own, "__isabstractmethod__", False):
        return
    new: Any = functools.wraps(own)(made(own))
    new.codin_records = True
    setattr(kind, name, new)


_inside: ContextVar[bool] = ContextVar("codin_crewai_inside", default=False)
"""Whether the call is of one that is recorded already, such as a subclass's of its base."""


def _model(own: Any) -> Any:
    def call(self: Any, messages: Any, *args: Any, **more: Any) -> Any:
        record = current_record.get()
        if record is None or _inside.get():
            return own(self, messages, *args, **more)

        def once() -> Any:
            token = _inside.set(True)
            try:
                return own(self, messages, *args, **more)
            finally:
                _inside.reset(token)

        return record.ask(_model_key(self, messages, more), _encoded, once)

    return call


def _model_async(own: Any) -> Any:
    async def call(self: Any, messages: Any, *args: Any, **more: Any) -> Any:
        record = current_record.get()
        if record is None or _inside.get():
            return await own(self, messages, *args, **more)

        async def once() -> Any:
            token = _inside.set(True)
            try:
                return await own(self, messages, *args, **more)
            finally:
                _inside.reset(token)

        return await record.ask_async(_model_key(self, messages, more), _encoded, once)

    return call


def _tool(own: Any) -> Any:
    def run(self: Any, *args: Any, **given: Any) -> Any:
        record = current_record.get()
        if record is None:
            return own(self, *args, **given)
        key = key_of("tool", self.name, args, given)
        return record.ask(key, _plain, lambda: own(self, *args, **given))

    return run


def _tool_async(own: Any) -> Any:
    async def run(self: Any, *args: Any, **given: Any) -> Any:
        record = current_record.get()
        if record is None:
            return await own(self, *args, **given)
        key = key_of("tool", self.name, args, given)
        return await record.ask_async(key, _plain, lambda: own(self, *args, **given))

    return run


def _model_key(model: Any, messages: Any, more: Mapping[str, Any]) -> str:
    tools = more.get("tools") or []
    names = [t.get("function", {}).get("name") for t in tools if isinstance(t, Mapping)]
    said = messages if isinstance(messages, str) else [_said(message) for message in messages]
    return key_of("model", model.model, said, names)


def _said(message: Any) -> Any:
    kept = ("role", "content", "tool_calls", "tool_call_id")
    if isinstance(message, Mapping):
        return {name: message[name] for name in kept if message.get(name)}
    return str(message)


def _encoded(answer: Any) -> Any:
    """A model's answer as JSON data that CrewAI takes for it; ``NOTHING`` when there is none."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list) and answer:
        calls = [each.model_dump() if hasattr(each, "model_dump") else each for each in answer]
        if all(isinstance(call, Mapping) for call in calls):
            return jsonable(calls)
    return _NOTHING


def _plain(result: Any) -> Any:
    return jsonable(result) if isinstance(result, (int, float, list, dict)) else str(result)
