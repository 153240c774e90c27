"""How callables get into a sandbox."""

import importlib
import sys

import pytest

from codin.errors import InvalidInputError
from codin.runtime import Class, Function, LocalRuntime
from codin.runtime import _shipping as shipping


@pytest.fixture
async def runtime():
    runtime = LocalRuntime()
    yield runtime
    await runtime.close()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Import a module that is made of this text, and forget it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(name, text):
        path = tmp_path / (name.replace(".", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()
        made.append(name.partition(".")[0])
        return importlib.import_module(name) if not name.endswith("__init__") else None

    yield make
    for name in list(sys.modules):
        if name.partition(".")[0] in made:
            del sys.modules[name]


async def test_a_function_brings_its_module_and_what_that_imports(runtime, module):
    module("shipped_part", "X = 4\n")
    main = module(
        "shipped_main",
        "import json\nimport shipped_part\ndef go(y):\n    return json.dumps(shipped_part.X + y)\n",
    )
    workload = Function.of(main.go, 3)
    assert workload.target == "shipped_main:go"
    assert set(workload.bundle) == {"shipped_main.py", "shipped_part.py"}
    assert workload.pickled is None
    assert (await runtime.run(workload)).value == "7"


async def test_a_package_comes_whole(runtime, module):
    module("shipped_pack.__init__", "")
    module("shipped_pack.other", "def twice(n):\n    return 2 * n\n")
    deep = module(
        "shipped_pack.deep",
        "from .other import twice\nclass Box:\n    def get(self, n):\n        return twice(n)\n",
    )
    workload = Class.of(deep.Box, "get", 21)
    assert set(workload.bundle) == {
        "shipped_pack/__init__.py",
        "shipped_pack/deep.py",
        "shipped_pack/other.py",
    }
    assert (await runtime.run(workload)).value == 42
    static = Function.of(deep.Box.get, None, 2)
    assert static.target == "shipped_pack.deep:Box.get"
    assert (await runtime.run(static)).value == 4


async def test_a_lambda_brings_what_it_uses_of_its_module(runtime, module):
    main = module(
        "shipped_lambda", "def inc(n):\n    return n + 1\ntwice = lambda n: inc(inc(n))\n"
    )
    workload = Function.of(main.twice, 1)
    assert workload.pickled is not None
    assert (await runtime.run(workload)).value == 3


async def test_a_method_of_an_object_is_pickled(runtime, module):
    main = module(
        "shipped_object",
        "class Box:\n    def __init__(self, n):\n        self.n = n\n"
        "    def get(self, m):\n        return self.n * m\n",
    )
    assert (await runtime.run(Function.of(main.Box(6).get, 7))).value == 42


def test_installed_packages_go_by_name():
    import msgpack

    import codin.lazy

    assert Function.of(msgpack.packb).bundle == {}
    assert shipping.shipped(codin.lazy.lazy_names) == {"target": "codin.lazy:lazy_names"}


async def test_another_minor_version_is_refused_with_both(runtime, monkeypatch):
    workload = Function.of(lambda: 1)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0, "final", 0))
    result = await runtime.run(workload)
    monkeypatch.undo()
    assert result.failure.type_name == "PythonMismatch"
    inside = "{}.{}".format(*sys.version_info[:2])
    assert "Python 3.99" in result.failure.message
    assert f"Python {inside}" in result.failure.message


@pytest.mark.parametrize(
    ("inside", "fits"), [("3.11.2", True), ("3.12.0", False), ("", False), ("3", False)]
)
def test_versions(monkeypatch, inside, fits):
    monkeypatch.setattr(sys, "version_info", (3, 11, 9, "final", 0))
    if fits:
        shipping.check_version(inside, "it")
    else:
        with pytest.raises(shipping.PythonMismatch, match=r"it was pickled by Python 3\.11"):
            shipping.check_version(inside, "it")


async def test_what_cannot_be_pickled():
    lock = __import__("threading").Lock()
    with pytest.raises(InvalidInputError, match="cannot be shipped"):
        Function.of(lambda: lock)
    with pytest.raises(InvalidInputError, match="cannot be called"):
        Function.of(3)


def test_without_cloudpickle(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(InvalidInputError, match=r"codin\[platform\]"):
        Function.of(lambda: 1)


def test_bundles_are_bounded():
    with pytest.raises(InvalidInputError, match="too large"):
        shipping.check_bundle({"a.py": "x" * (shipping.MAX_BUNDLE_BYTES + 1)})
    with pytest.raises(InvalidInputError, match="too large"):
        shipping.check_bundle({f"a{n}.py": "" for n in range(shipping.MAX_BUNDLE_FILES + 1)})
    shipping.check_bundle({"a/b.py": "x"})


def test_a_digest_is_of_names_and_texts():
    one = shipping.digest({"a": "1", "b": "2"})
    assert one == shipping.digest({"b": "2", "a": "1"})
    assert len({one, shipping.digest({"a": "2", "b": "1"}), shipping.digest({"a1": "b2"})}) == 3


async def test_the_program_of_the_terminal_does_not_begin_inside(runtime, tmp_path):
    import asyncio

    script = tmp_path / "job.py"
    script.write_text(
        "import asyncio\ndef work(n):\n    return n + 1\n"
        "async def main():\n    from codin.runtime import Function, LocalRuntime\n"
        "    runtime = LocalRuntime()\n"
        "    result = await runtime.run(Function.of(work, 41))\n    await runtime.close()\n"
        "    print(result.value, result.failure, result.stdout)\n"
        "if __name__ == '__main__':\n    asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said == b"42 None b''\n"
