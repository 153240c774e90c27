"""Python as weak models write it, made into what they meant. Nothing is run here."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

MAX_PARSED = 50_000
"""Code with more characters than this is sent as it is."""

_FENCE = re.compile(r"\A\s*```[\w+-]*[ \t]*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_FENCED_PART = re.compile(r"^```(?:python|py)[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_PANDAS = (
    # Its default leaves columns out, and a model cannot ask for what it does not see.
    'import pandas as pd; pd.set_option("display.width", 160, "display.max_columns", 30)'
)
_ALIASES = {
    "np": "import numpy as np",
    "plt": "import matplotlib.pyplot as plt",
    **{name: f"import {name}" for name in ("math", "json", "csv", "re", "os", "statistics")},
}


@dataclass(frozen=True, slots=True)
class PreparedCode:
    """Code ready to run.

    ``prelude`` is how many lines were put before the model's own; ``shows`` is the name of the
    variable whose value the last line gives, where the code ended in an assignment.
    """

    text: str
    prelude: int = 0
    shows: str | None = None


def prepare(code: str) -> PreparedCode:
    """``code`` without markdown fences or escaped newlines, with the imports that it forgot.

    When it ends in an assignment, the assigned variable becomes its last expression.
    """
    text = _unfenced(code)
    tree = _parsed(text)
    if tree is None and "\n" not in text.strip() and "\\n" in text:
        unescaped = text.replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\t", "\t")
        if '\\"' in unescaped:
            unescaped = unescaped.replace('\\"', '"')
        tree = _parsed(unescaped)
        text = unescaped if tree is not None else text
    if tree is None:
        return PreparedCode(text)
    shown = _assigned(tree)
    imports = _forgotten(tree)
    lines = [*imports, text.rstrip("\n"), *([shown] if shown else [])]
    return PreparedCode("\n".join(lines), len(imports), shown)


def _unfenced(code: str) -> str:
    whole = _FENCE.match(code)
    if whole:
        return whole.group(1)
    parts = _FENCED_PART.findall(code)
    return "\n".join(parts) if parts else code


def _parsed(text: str) -> ast.Module | None:
    if len(text) > MAX_PARSED:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _assigned(tree: ast.Module) -> str | None:
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Assign):
        targets = last.targets[-1]
    elif isinstance(last, (ast.AnnAssign, ast.AugAssign)):
        targets = last.target
    else:
        return None
    if isinstance(targets, ast.Name):
        return targets.id
    if isinstance(targets, ast.Tuple) and all(isinstance(e, ast.Name) for e in targets.elts):
        return ", ".join(e.id for e in targets.elts if isinstance(e, ast.Name))
    return None


def _forgotten(tree: ast.Module) -> list[str]:
    """Imports of usual names that the code uses and never binds, and wider tables for pandas."""
    if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body):
        return []
    used, bound, imported = _names(tree)
    lines = [line for name, line in _ALIASES.items() if name in used - bound]
    if "pd" not in bound and ("pd" in used or "pandas" in imported):
        lines.insert(0, _PANDAS)
    return lines


def _names(tree: ast.Module) -> tuple[set[str], set[str], set[str]]:
    """Names whose attributes are used, names that are bound, and modules that are imported.

    ``import pandas as pd`` binds nothing that could be meant otherwise.
    """
    used: set[str] = set()
    bound: set[str] = set()
    imported: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name)):
                used.add(name)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound.add(name)
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias(name="pandas", asname="pd"):
                imported.add("pandas")
            case ast.alias(name=module, asname=alias):
                imported.add(module)
                bound.add((alias or module).split(".")[0])
    return used, bound, imported
