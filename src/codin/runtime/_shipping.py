"""How a Python callable gets into a sandbox: by its name, as source, or pickled inwards."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
import sysconfig
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from codin.errors import InvalidInputError
from codin.runtime.base import RuntimeFailure

MAX_BUNDLE_FILES = 500
MAX_BUNDLE_BYTES = 4 * 1024 * 1024

_ON_ITS_WAY = "give its source, or target='module:name' of something that is importable inside"


class PythonMismatch(RuntimeFailure):
    """What was pickled by one minor version of Python is not unpickled by another."""


def shipped(function: Callable[..., Any]) -> dict[str, Any]:
    """The fields of a ``Function`` or ``Class`` that bring ``function`` along.

    Raises:
        InvalidInputError: there is no way.
    """
    if not callable(function):
        raise InvalidInputError(f"{type(function).__name__} cannot be called")
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    name = getattr(function, "__qualname__", "")
    if module is None or not _is_at(module, name, function):
        return _pickled(function, module)
    if _is_installed(module):
        return {"target": f"{module.__name__}:{name}"}
    if _file_of(module) is None:
        return _pickled(function, module)
    return {"target": f"{_name_of(module)}:{name}", "bundle": _bundle(module)}


def digest(files: Mapping[str, str]) -> str:
    """The SHA-256 of a bundle, in hex."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def check_bundle(files: Mapping[str, str]) -> None:
    """Raises ``InvalidInputError`` when a path of a bundle leads out of it, or it is too large."""
    for path in files:
        pure = PurePosixPath(path)
        if not path or "\0" in path or pure.is_absolute() or ".." in pure.parts:
            raise InvalidInputError(f"a bundle has relative paths within itself, not {path!r}")
    size = sum(len(text) for text in files.values())
    if len(files) > MAX_BUNDLE_FILES or size > MAX_BUNDLE_BYTES:
        raise InvalidInputError(
            f"a bundle of {len(files)} files and {size} characters is too large: at most "
            f"{MAX_BUNDLE_FILES} and {MAX_BUNDLE_BYTES}; mount a folder instead"
        )


def check_version(inside: str, name: str) -> None:
    """Raises ``PythonMismatch`` when what this Python pickled cannot be read by that of inside."""
    here = "{}.{}".format(*sys.version_info[:2])
    if inside.split(".")[:2] != here.split("."):
        raise PythonMismatch(
            f"{name} was pickled by Python {here}, and the sandbox has Python {inside}: "
            + _ON_ITS_WAY
        )


@cache
def unpickler() -> dict[str, str]:
    """cloudpickle's own source, as a bundle: what it wrote needs it to be read.

    Raises:
        InvalidInputError: it is not installed.
    """
    folder = Path(_cloudpickle().__file__).parent
    return {f"cloudpickle/{file.name}": file.read_text("utf-8") for file in folder.glob("*.py")}


def _pickled(function: Callable[..., Any], module: ModuleType | None) -> dict[str, Any]:
    cloudpickle, name = _cloudpickle(), _described(function)
    by_value = module is not None and module.__name__ != "__main__" and not _is_installed(module)
    try:
        if by_value:  # or what it uses of its module would be looked for inside
            cloudpickle.register_pickle_by_value(module)
        return {"target": name, "pickled": cloudpickle.dumps(function)}
    except Exception as error:  # whatever an object's own way to be pickled may raise
        raise InvalidInputError(f"{name} cannot be shipped ({error}): {_ON_ITS_WAY}") from error
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError:
        raise InvalidInputError(
            "what is not at the top level of a module is shipped by cloudpickle: "
            "pip install 'codin[platform]'"
        ) from None
    return cloudpickle


def _described(function: Callable[..., Any]) -> str:
    named = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}:{named}"


def _is_at(module: ModuleType, name: str, function: Callable[..., Any]) -> bool:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is function or (found is not None and found == function)


def _is_installed(module: ModuleType) -> bool:
    """Whether it is the standard library's, or of an installed package: found inside by name."""
    top = module.__name__.partition(".")[0]
    if top in {"builtins", "codin"} or (top in sys.stdlib_module_names and top != "__main__"):
        return True
    file = _file_of(module)
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    return file is not None and any(file.is_relative_to(place) for place in places)


def _file_of(module: ModuleType) -> Path | None:
    try:
        file = inspect.getsourcefile(module)
    except TypeError:
        return None
    return Path(file) if file and Path(file).is_file() else None


def _name_of(module: ModuleType) -> str:
    """Its name inside: a program's file is imported by its own, so that it does not begin."""
    file = _file_of(module)
    return file.stem if module.__name__ == "__main__" and file else module.__name__


def _bundle(first: ModuleType) -> dict[str, str]:
    """The source of a module, and of those that it imports and that are not installed."""
    files: dict[str, str] = {}
    todo, seen = [first], set()
    while todo:
        module = todo.pop()
        if module.__name__ in seen:
            continue
        seen.add(module.__name__)
        added = _sources(module)
        files |= added
        check_bundle(files)
        todo += [found for text in added.values() for found in _imported(text)]
    return files


def _sources(module: ModuleType) -> dict[str, str]:
    """The files of the module's package, or its own where it is in none."""
    name, file = _name_of(module), _file_of(module)
    top = sys.modules.get(name.partition(".")[0])
    folders = list(getattr(top, "__path__", ()))
    if folders and top is not None:
        folder = Path(folders[0])
        found = [path for path in sorted(folder.rglob("*.py")) if path.is_file()]
        base = folder.parent
        return {path.relative_to(base).as_posix(): _text(path) for path in found}
    return {} if file is None else {f"{name}.py": _text(file)}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error


def _imported(text: str) -> list[ModuleType]:
    names: set[str] = set()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []  # a file that nobody imports, or whose import says it better
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    loaded = [sys.modules[name] for name in sorted(tops) if name in sys.modules]
    return [module for module in loaded if not _is_installed(module)]
