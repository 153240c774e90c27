"""The scripts of `examples/`, which is no package, as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(path: str) -> ModuleType:
    file = EXAMPLES / path
    spec = importlib.util.spec_from_file_location(f"examples_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def examples() -> Path:
    return EXAMPLES


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    return load("data/generate.py")


@pytest.fixture(scope="session")
def expected() -> ModuleType:
    return load("eval/expected.py")


@pytest.fixture(scope="session")
def checker() -> ModuleType:
    return load("eval/checker.py")


@pytest.fixture(scope="session")
def scoring() -> ModuleType:
    return load("eval/scoring.py")
