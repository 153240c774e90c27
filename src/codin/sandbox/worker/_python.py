"""Python code of a session: how it is run, and how what it raised is told."""

from __future__ import annotations

import ast
import linecache
import sys
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

_MAX_REPR = 100_000
_SHIPPED = "<codin_inside>"  # what was sent along with the code, to call it
_COROUTINE = 0x80  # inspect.CO_COROUTINE, without the import


class PythonSession:
    """Python code with one namespace between calls."""

    def __init__(self) -> None:
        self._module = type(sys)("__main__")
        self._space = self._module.__dict__
        self._count = 0

    def run(self, code: str) -> tuple[str | None, str | None]:
        """Run ``code``; gives the ``repr`` of its last expression, and a traceback."""
        try:
            value = self.execute(code)
            return None if value is None else repr(value)[:_MAX_REPR], None
        except SystemExit as error:
            return None, None if error.code in (None, 0) else f"SystemExit: {error.code}"
        except BaseException as error:
            return None, format_error(error)

    def define(self, name: str, value: Any) -> None:
        """Have ``value`` under ``name`` in the namespace."""
        self._space[name] = value

    def execute(self, code: str) -> Any:
        """Run ``code``; gives the value of its last expression. Raises what it raises."""
        sys.modules["__main__"] = self._module
        self._count += 1
        name = f"<code {self._count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        value = self._run(code, name)
        if value is not None:
            self._space["_"] = value
        return value

    def _run(self, code: str, name: str) -> Any:
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._evaluate(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            return self._evaluate(compile(expression, name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
        return None

    def _evaluate(self, code: CodeType) -> Any:
        value = eval(code, self._space)  # noqa: S307 - this is what the sandbox is for
        if code.co_flags & _COROUTINE:
            import asyncio

            return asyncio.run(value)
        return value


def format_error(error: BaseException) -> str:
    """The traceback of ``error`` without the frames of the program that ran the code."""
    here = __file__.rpartition("/")[0]
    entry = traceback.TracebackException.from_exception(error)
    _trim(entry, here)
    return "".join(entry.format())


def _trim(entry: traceback.TracebackException | None, here: str) -> None:
    while entry is not None:
        frames = [frame for frame in entry.stack if not frame.filename.startswith((here, _SHIPPED))]
        while frames and frames[0].filename.startswith("<frozen importlib"):
            frames.pop(0)
        entry.stack[:] = frames
        _trim(entry.__context__, here)
        entry = entry.__cause__
