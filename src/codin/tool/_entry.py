"""The program that calls a function tool inside its sandbox. Standard library only.

It is shipped as source, with the source of the tool's own module beside it, and answers with
data: ``{"value": ...}``, ``{"invalid": message}`` or ``{"error": ...}``. It runs anew for each
call, so it imports next to nothing.
"""

from __future__ import annotations

import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
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
_modules: dict[tuple[str, str], Any] = {}


class ToolContext:
    """What the host's ``ToolContext`` is inside: the same names."""

    def __init__(self, **fields: str) -> None:
        self.__dict__.update(fields)

    def progress(self, text: str) -> None:
        """Tell ``text`` at once, as what is printed is told."""
        _tell(f"{text}\n")


def call(request: dict[str, Any]) -> dict[str, Any]:
    """Make the module, call the tool's function in it, and give its result as data.

    ``request`` holds ``source``, ``filename``, ``qualname``, ``arguments``, ``context`` (the name
    of the parameter that takes it, and its fields), ``convert`` (names of arguments whose type is
    more than JSON's own) and ``secrets`` (by the names of the parameters that take them).
    """
    source, filename = request["source"], request["filename"]
    try:
        target = _module(source, filename)
        for part in request["qualname"].split("."):
            target = getattr(target, part)
        arguments = dict(request["arguments"])
        problem = _convert(target, arguments, request["convert"]) if request["convert"] else None
        if problem:
            return {"invalid": problem}
        for name, fields in request["context"].items():
            arguments[name] = ToolContext(**fields)
        value = target(**arguments, **request["secrets"])
        if isinstance(value, CoroutineType):
            import asyncio

            value = asyncio.run(value)
        if isinstance(value, (GeneratorType, AsyncGeneratorType)):
            value = _streamed(value)
        return {"value": plain(value)}
    except BaseException as error:
        return {"error": _failure(error, filename, source.splitlines())}


def _streamed(items: Any) -> Any:
    """What a generator yields: shown as it comes, and all of it in the end."""
    seen = []

    def take(item: Any) -> None:
        _tell(shown(item))
        seen.append(item)

    if isinstance(items, GeneratorType):
        for item in items:
            take(item)
    else:
        import asyncio

        async def read() -> None:
            async for item in items:
                take(item)

        asyncio.run(read())
    return collected(seen)


def _tell(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def shown(item: Any) -> str:
    """An item that was yielded, as it is shown: text as it is, data on a line of its own."""
    import json

    return item if isinstance(item, str) else f"{json.dumps(plain(item), ensure_ascii=False)}\n"


def collected(items: list[Any]) -> Any:
    """What was yielded, as a result: texts as one text, anything else as a list."""
    texts = items and all(isinstance(item, str) for item in items)
    return "".join(items) if texts else items


def _module(source: str, filename: str) -> Any:
    key = (filename, source)
    if key in _modules:
        return _modules[key]
    module = ModuleType(f"codin_tool_{len(_modules)}")
    module.__file__ = filename
    # Dataclasses and pydantic look their module up by name.
    sys.modules[module.__name__] = module
    with _DecoratorAtHand():
        exec(compile(source, filename, "exec"), module.__dict__)  # noqa: S102
    _modules[key] = module
    return module


class _DecoratorAtHand:
    """While a module loads, ``codin.tool`` is a stand-in whose decorator does nothing.

    The real one would build schemas that nobody needs here, and may not be installed here.
    """

    def __enter__(self) -> None:
        stand_in = _StandIn("codin.tool")
        try:
            import codin as package

            self._installed = True
            stand_in.__path__ = [f"{path}/tool" for path in package.__path__]
        except ImportError:
            self._installed = False
            package = sys.modules["codin"] = ModuleType("codin")
            package.__path__ = []
        self._package = package
        self._before = package.__dict__.get("tool"), sys.modules.get("codin.tool")
        package.__dict__["tool"] = sys.modules["codin.tool"] = stand_in

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._installed:
            return
        attribute, module = self._before
        del self._package.__dict__["tool"], sys.modules["codin.tool"]
        if attribute is not None:
            self._package.__dict__["tool"] = attribute
        if module is not None:
            sys.modules["codin.tool"] = module


class _Options:
    """What is said of a tool outside, which means nothing here."""

    def __init__(self, *words: Any, **options: Any) -> None:
        self.__dict__.update(options)


class ToolError(Exception):
    """What a tool may raise to say something to its caller."""


class ToolFailed(ToolError):
    """As ``ToolError``."""


class ToolUnavailable(ToolFailed):
    """What a tool raises when the same call may go well a little later."""


class _StandIn(ModuleType):
    ToolContext = ToolContext
    ToolError = ToolError
    ToolFailed = ToolFailed
    ToolUnavailable = ToolUnavailable
    ToolLimits = _Options
    Secret = _Options

    def tool(self, fn: Any = None, **options: Any) -> Any:
        return fn if fn is not None else lambda function: function

    __call__ = tool

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        import importlib

        return getattr(importlib.import_module("codin.tool.base"), name)


def _convert(target: Any, arguments: dict[str, Any], names: list[str]) -> str | None:
    import typing

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


def _failure(error: BaseException, filename: str, lines: list[str]) -> dict[str, Any]:
    numbers: list[int] = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            numbers.append(trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == filename:
        numbers.append(error.lineno or 0)
    told = [
        f"line {number}: {lines[number - 1].strip()}"
        for number in numbers[-_MAX_FRAMES:]
        if 0 < number <= len(lines)
    ]
    try:
        message = str(error)
    except Exception:
        message = ""
    return {"type": type(error).__name__, "message": message[:4000], "lines": told}


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON data; what has no such form becomes its ``repr``."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float, str)) and not _is_enum(value):
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
    return number if number - number == 0 else repr(number)


def _key(key: Any) -> str:
    return key if type(key) is str else str(plain(key))


def _foreign(value: Any, depth: int) -> Any:
    if _is_enum(value):
        return plain(value.value, depth + 1)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, type):
        return _repr(value)
    fields = getattr(type(value), "__dataclass_fields__", None)
    if isinstance(fields, dict):
        return {str(name): plain(getattr(value, name), depth + 1) for name in fields}
    return _converted(value, depth)


def _is_enum(value: Any) -> bool:
    return "enum" in sys.modules and isinstance(value, sys.modules["enum"].Enum)


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
