"""Code that is run as in a notebook: one state a process, and what it shows in several forms.

Called as functions of this module by ``Worker.call``. What is shown while code runs goes out at
once where the program lets it, else with the end of the run.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys

from . import _display
from ._python import PythonSession, format_error
from ._shell import ShellSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_SYSTEM = "__system__"
_sessions: dict[str, PythonSession | ShellSession] = {}


def begin(language: str, cwd: str, env: dict[str, str]) -> int:
    """Prepare this process for ``language``, in the folder ``cwd`` and with ``env``; gives its
    process id."""
    os.environ.update(env)
    os.makedirs(cwd, exist_ok=True)
    os.chdir(cwd)
    if language == "python":
        sys.path.insert(0, "")  # what is in the folder can be imported
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        session = _sessions[language] = PythonSession()
        session.define("display", _display.display)
        session.define(_SYSTEM, _system)
        os.environ["MPLBACKEND"] = "module://_codin_worker._figures"
    else:
        _sessions[language] = ShellSession()
    return os.getpid()


def run(language: str, code: str, env: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Run ``code`` with ``env`` besides; gives what it shows, its result and its error."""
    session = _sessions[language]
    if isinstance(session, ShellSession):
        _, error = session.run(code, env)
        if error is not None:
            yield _error("ExitError", error, error)
        return
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield from _run(session, code)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _run(session: PythonSession, code: str) -> Iterator[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    _display.begin(getattr(sys.modules[__package__ or ""], "emit", None) or shown.append)
    error = None
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        value = session.execute(_plain(code))
        if value is not None and not code.rstrip().endswith(";"):
            _display.show(value, main=True)
        _display.flush_figures()
    except SystemExit as left:
        if left.code not in (None, 0):
            error = _error("SystemExit", str(left.code), f"SystemExit: {left.code}")
    except BaseException as raised:
        error = _error(type(raised).__name__, str(raised)[:10_000], format_error(raised)[-100_000:])
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _display.drop_figures()
    yield from shown
    if error is not None:
        yield error


def _plain(code: str) -> str:
    """``code`` as Python: in notebooks a line that begins with ``!`` is for the shell."""
    try:
        compile(code, "<code>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    except SyntaxError:
        return re.sub(r"(?m)^([ \t]*)(?:!|%(?=pip ))(.+)$", _shell_line, code)
    return code


def _shell_line(found: re.Match[str]) -> str:
    return f"{found[1]}{_SYSTEM}({found[2]!r})"


def _system(command: str) -> None:
    sys.stdout.flush()
    subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, check=False)  # noqa: S607


def _error(name: str, value: str, trace: str) -> dict[str, Any]:
    return {"type": "error", "name": name, "value": value, "traceback": trace}
