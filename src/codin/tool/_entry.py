"""The program that calls a function tool inside its sandbox. Standard library only.

It is shipped as source, with the source of the tool's own module beside it, and answers with
data: ``{"value": ...}``, ``{"invalid": message}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import hashlib
import importlib.util
import inspect
import linecache
import math
import sys
import traceback
import types
import typing
from collections.abc import Iterator
from typing import Any

_MAX_DEPTH = 50
_MAX_FRAMES = 3
# Those of pydantic, dates, pandas and numpy.
_CONVERSIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("model_dump", {"mode": "json"}),
    ("isoformat", {}),
    ("to_dict", {}),
    ("tolist", {}),
)
_modules: dict[str, Any] = {}


class ToolContext:
    """What the host's ``ToolContext`` is inside: the same names."""

    def __init__(self, **fields: str) -> None:
        self.__dict__.update(fields)


def call(request: dict[str, Any]) -> dict[str, Any]:
    """Make the module, call the tool's function in it, and give its result as data.

    ``request`` holds ``source``, ``filename``, ``qualname``, ``arguments``, ``context`` (the name
    of the parameter that takes it, and its fields) and ``convert`` (names of arguments whose type
    is more than JSON's own).
    """
    filename = request["filename"]
    try:
        target = _module(request["source"], filename)
        for part in request["qualname"].split("."):
            target = getattr(target, part)
        arguments = dict(request["arguments"])
        problem = _convert(target, arguments, request["convert"]) if request["convert"] else None
        if problem:
            return {"invalid": problem}
        for name, fields in request["context"].items():
            arguments[name] = ToolContext(**fields)
        value = target(**arguments)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        if inspect.isgenerator(value):
            value = list(value)
        return {"value": plain(value)}
    except BaseException as error:
        return {"error": _failure(error, filename)}


def _module(source: str, filename: str) -> Any:
    key = hashlib.sha256(f"{filename}\0{source}".encode()).hexdigest()
    if key in _modules:
        return _modules[key]
    module = types.ModuleType(f"codin_tool_{key[:12]}")
    module.__file__ = filename
    # Dataclasses and pydantic look their module up by name.
    sys.modules[module.__name__] = module
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    try:
        with _decorator_at_hand():
            exec(compile(source, filename, "exec"), module.__dict__)  # noqa: S102
    except BaseException:
        del sys.modules[module.__name__]
        raise
    _modules[key] = module
    return module


@contextlib.contextmanager
def _decorator_at_hand() -> Iterator[None]:
    """While a module loads, ``codin.tool`` is a stand-in whose decorator does nothing.

    The real one would build schemas that nobody needs here, and may not be installed here.
    """
    installed = (
        importlib.util.find_spec("codin") is not None if "codin" not in sys.modules else True
    )
    kept = {name: sys.modules.get(name) for name in ("codin", "codin.tool")}
    stand_in = _StandIn("codin.tool")
    if installed:
        package = importlib.import_module("codin")
        stand_in.__path__ = [f"{path}/tool" for path in package.__path__]
    else:
        package = types.ModuleType("codin")
        package.__path__ = []
        sys.modules["codin"] = package
    before = package.__dict__.get("tool")
    package.__dict__["tool"] = sys.modules["codin.tool"] = stand_in
    try:
        yield
    finally:
        if installed:
            _restore(package, before, kept["codin.tool"])


def _restore(package: Any, before: Any, module: Any) -> None:
    if before is None:
        del package.__dict__["tool"]
    else:
        package.__dict__["tool"] = before
    if module is None:
        sys.modules.pop("codin.tool", None)
    else:
        sys.modules["codin.tool"] = module


class _StandIn(types.ModuleType):
    ToolContext = ToolContext

    def tool(self, fn: Any = None, **options: Any) -> Any:
        return fn if fn is not None else lambda function: function

    __call__ = tool

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        home = "codin.tool.context" if name == "calling" else "codin.tool.base"
        return getattr(importlib.import_module(home), name)


def _convert(target: Any, arguments: dict[str, Any], names: list[str]) -> str | None:
    from pydantic import TypeAdapter, ValidationError

    hints = typing.get_type_hints(target, include_extras=True)
    for name in names:
        if name in arguments:
            try:
                arguments[name] = TypeAdapter(hints[name]).validate_python(arguments[name])
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(str(part) for part in (name, *first["loc"]))
                return f"argument '{place}': {first['msg']}"
    return None


def _failure(error: BaseException, filename: str) -> dict[str, Any]:
    frames = [
        f"line {frame.lineno}: {(frame.line or '').strip()}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == filename
    ]
    if isinstance(error, SyntaxError) and error.filename == filename:
        frames.append(f"line {error.lineno}: {(error.text or '').strip()}")
    try:
        message = str(error)
    except Exception:
        message = ""
    return {"type": type(error).__name__, "message": message[:4000], "lines": frames[-_MAX_FRAMES:]}


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON data; what has no such form becomes its ``repr``."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, str)) and not isinstance(value, enum.Enum):
        return _scalar(value)
    if depth > _MAX_DEPTH:
        return _repr(value)
    if isinstance(value, dict):
        return {_key(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in value]
    return _foreign(value, depth)


def _scalar(value: int | float | str) -> int | float | str:
    """Subclasses become the plain type; what JSON or msgpack cannot carry becomes text."""
    if isinstance(value, str):
        return str.encode(value, "utf-8", "replace").decode()
    if isinstance(value, int):
        whole = int(value)
        return whole if -(2**63) <= whole < 2**64 else str(whole)
    number = float(value)
    return number if math.isfinite(number) else repr(number)


def _key(key: Any) -> str:
    return key if type(key) is str else str(plain(key))


def _foreign(value: Any, depth: int) -> Any:
    if isinstance(value, enum.Enum):
        return plain(value.value, depth + 1)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, type):
        return _repr(value)
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name), depth + 1) for f in dataclasses.fields(value)}
    return _converted(value, depth)


def _converted(value: Any, depth: int) -> Any:
    for method, options in _CONVERSIONS:
        convert = getattr(value, method, None)
        if callable(convert):
            try:
                return plain(convert(**options), depth + 1)
            except Exception:
                return _repr(value)
    return _repr(value)


def _repr(value: Any) -> str:
    try:
        return repr(value)[:2000]
    except Exception:
        return f"<{type(value).__name__}>"
