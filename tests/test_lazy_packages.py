"""What a package says it gives, it gives, from the module that it says."""

import ast
import importlib
from pathlib import Path

import pytest

import codin

ROOT = Path(codin.__file__).parent
LAZY = sorted(
    ".".join(("codin", *path.parent.relative_to(ROOT).parts))
    for path in ROOT.rglob("__init__.py")
    if "lazy_names(" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", LAZY)
def test_every_name_is_there(name):
    package = importlib.import_module(name)
    assert {word for words in package._HOMES.values() for word in words} <= set(package.__all__)
    assert [word for word in package.__all__ if getattr(package, word, None) is None] == []


@pytest.mark.parametrize("name", LAZY)
def test_it_is_where_type_checkers_are_told(name):
    """From whom what is imported on first use is hidden."""
    path = ROOT.joinpath(*name.split(".")[1:], "__init__.py")
    homes = importlib.import_module(name)._HOMES
    told = {
        (node.module, alias.name)
        for block in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {(f"{name}.{home}", word) for home, words in homes.items() for word in words}
