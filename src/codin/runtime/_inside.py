"""What is sent into a sandbox to call what was shipped: never imported on this side.

Its text is the source of a module there, so it needs the standard library and the program of the
Worker only.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module, invalidate_caches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def call(plan: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call what ``plan`` is about. A generator goes on to whoever sends items."""
    args, kwargs = _given(plan, args, kwargs)
    return _answer(_target(plan)(*args, **kwargs), plan)


class Kept:
    """An object of what ``plan`` is about, to call methods of."""

    def __init__(self, plan: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> None:
        args, kwargs = _given(plan, args, kwargs)
        self._object = _awaited(_target(plan)(*args, **kwargs))

    def call(
        self, method: str, plan: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Call ``method`` of the object."""
        args, kwargs = _given(plan, args, kwargs)
        return _answer(_public(self._object, method)(*args, **kwargs), plan)


def _target(plan: dict[str, Any]) -> Any:
    for name, files in (plan.get("bundles") or {}).items():
        _unpack(name, files)
    sys.path += [path for path in plan.get("paths") or () if path not in sys.path]
    if plan.get("pickled") is not None:
        import pickle

        return pickle.loads(plan["pickled"])  # noqa: S301 - inside, where anything may run
    name, _, path = plan["target"].partition(":")
    found: Any = _module(name, plan.get("source"))
    for part in path.split("."):
        found = _public(found, part)
    return found


def _module(name: str, source: str | None) -> Any:
    if source is None:
        return import_module(name)
    import linecache

    module, file = type(sys)(name), f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    sys.modules[name] = module
    exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102
    return module


def _unpack(name: str, files: dict[str, str]) -> None:
    folder = f"/tmp/codin-{name}"  # noqa: S108 - inside, where it is the sandbox's own
    if folder in sys.path:
        return
    for path, text in files.items():
        file = os.path.join(folder, path)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
    sys.path.insert(0, folder)
    invalidate_caches()


def _given(
    plan: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments: those of the file that they were too large for a frame."""
    path = plan.get("given")
    if path is None:
        return args, kwargs
    with open(path, "rb") as file:
        message = _frames().unpack(file.read())
    os.unlink(path)
    return message["args"], message["kwargs"]


def _answer(value: Any, plan: dict[str, Any]) -> Any:
    """``value``, or nothing where it went to a file because it may be too large for a frame."""
    path = plan.get("answer")
    value = _awaited(value) if path is not None else value
    if path is None or type(value).__name__ in {"generator", "async_generator"}:
        return value
    frame = _frames().pack({"t": "value", "value": value}, limit=plan["most"])
    if len(frame) <= plan["small"]:
        return value
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(frame)
    return {"codin-spilled": True}


def _awaited(value: Any) -> Any:
    if type(value).__name__ != "coroutine":
        return value
    import asyncio

    return asyncio.run(value)


def _frames() -> Any:
    return sys.modules["_codin_worker.frames"]


def _public(owner: Any, name: str) -> Any:
    if name.startswith("__") and name != "__call__":
        raise AttributeError(f"{name!r} is not to be reached from outside")
    return getattr(owner, name)
