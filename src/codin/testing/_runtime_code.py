"""Functions, classes, modules and commands on a runtime, and how code gets there."""

from __future__ import annotations

import asyncio
import functools
import math
from collections import Counter
from typing import Any

import pytest

from codin.errors import InvalidInputError
from codin.runtime.base import Runtime
from codin.runtime.workload import Class, Command, Function, Module
from codin.sandbox.base import MIB, Limits
from codin.sandbox.pool import Reuse
from codin.testing._runtime_base import SOURCE, RuntimeChecks, function

_LARGE = 100 * MIB
_ROOM = Limits(
    memory_bytes=2048 * MIB, disk_bytes=1024 * MIB, output_bytes=200 * MIB, wall_seconds=120
)
_PACK = {
    "pack/__init__.py": "from pack.part import X\n",
    "pack/part.py": "X = 7\n\nclass Box:\n    def get(self, y):\n        return X + y\n",
    "pack/deep/__init__.py": "",
    "pack/deep/more.py": "from ..part import X\n\ndef go(y):\n    return X * y\n",
}


def _made_here(offset: int) -> Any:
    def add(number: int) -> int:
        return number + offset

    return add


class CodeChecks(RuntimeChecks):
    """What a runtime does with the kinds of workload that are code."""

    async def test_function(self, runtime: Runtime) -> None:
        result = await runtime.run(function("add", 1, kwargs={"b": 2}))
        assert (result.ok, result.value, result.exit_code) == (True, 3, None)
        assert result.ended
        assert (await runtime.run(Function(target="math:sqrt", args=(9,)))).value == 3.0

    async def test_coroutine_function(self, runtime: Runtime) -> None:
        assert (await runtime.run(function("later", 5))).value == 5

    async def test_generators(self, runtime: Runtime) -> None:
        assert (await runtime.run(function("count", 3))).value == [0, 1, 2]
        assert (await runtime.run(function("tick", 2))).value == [{"n": 0}, {"n": 1}]

    @pytest.mark.parametrize("target", ["m:nothing", "no_such_module:f", "m"])
    async def test_no_such_target(self, runtime: Runtime, target: str) -> None:
        source = SOURCE if target.startswith("m") else None
        result = await runtime.run(Function(target=target, source=source))
        assert result.failure is not None
        assert result.failure.type_name in {"AttributeError", "ModuleNotFoundError"}

    async def test_arguments_that_are_not_data(self, runtime: Runtime) -> None:
        with pytest.raises(InvalidInputError, match="arguments"):
            await runtime.run(Function(target="math:sqrt", args=(object(),)))

    async def test_a_bundle_is_importable(self, runtime: Runtime) -> None:
        workload = Function(target="pack.deep.more:go", args=(6,), bundle=_PACK)
        assert (await runtime.run(workload)).value == 42
        source = "from pack import X\ndef f(): return X"
        beside = Function(target="m:f", source=source, bundle=_PACK)
        assert (await runtime.run(beside)).value == 7
        of_class = Class(target="pack.part:Box", method="get", args=(1,), bundle=_PACK)
        assert (await runtime.run(of_class)).value == 8

    async def test_an_error_in_a_bundle_shows_its_line(self, runtime: Runtime) -> None:
        bundle = {"p.py": "def f():\n    raise KeyError('here')\n"}
        result = await runtime.run(Function(target="p:f", bundle=bundle))
        assert result.failure is not None
        assert "raise KeyError('here')" in result.failure.traceback
        assert "codin_inside" not in result.failure.traceback

    @pytest.mark.parametrize("path", ["../a.py", "/a.py", "", "a/../../b.py"])
    async def test_a_bundle_stays_in_its_place(self, runtime: Runtime, path: str) -> None:
        with pytest.raises(InvalidInputError, match="bundle"):
            await runtime.run(Function(target="a:f", bundle={path: ""}))
        with pytest.raises(InvalidInputError, match="bundle"):
            await runtime.run(Module(name="a", files={path: ""}))

    async def test_a_function_of_the_library_goes_by_its_name(self, runtime: Runtime) -> None:
        workload = Function.of(math.gcd, 12, 18)
        assert (workload.target, workload.bundle, workload.pickled) == ("math:gcd", {}, None)
        assert (await runtime.run(workload)).value == 6

    async def test_a_closure_is_pickled_inwards(self, runtime: Runtime) -> None:
        workload = Function.of(_made_here(40), 2)
        assert workload.pickled is not None
        assert (await runtime.run(workload)).value == 42
        assert (await runtime.run(Function.of(lambda a: a * 2, 21))).value == 42
        assert (await runtime.run(Function.of(functools.partial(pow, 2), 5))).value == 32

    async def test_what_comes_out_is_never_unpickled(self, runtime: Runtime) -> None:
        result = await runtime.run(Function.of(object))
        assert result.failure is not None
        assert result.failure.type_name == "TypeError"
        assert "not data" in result.failure.message

    async def test_class(self, runtime: Runtime) -> None:
        workload = Class(
            target="m:Counter", source=SOURCE, init_args=(5,), method="more", kwargs={"by": 2}
        )
        assert [(await runtime.run(workload)).value for _ in range(2)] == [7, 7]
        brought = Class.of(Counter, "total", init_args=("aab",))
        assert (await runtime.run(brought)).value == 3

    async def test_class_that_cannot_be_made(self, runtime: Runtime) -> None:
        result = await runtime.run(
            Class(target="m:Counter", source=SOURCE, method="more", init_args=(1, 2, 3))
        )
        assert result.failure is not None
        assert result.failure.type_name == "TypeError"

    async def test_a_private_name_is_not_reached(self, runtime: Runtime) -> None:
        workload = Class(target="m:Counter", source=SOURCE, method="__reduce__")
        result = await runtime.run(workload)
        assert result.failure is not None
        assert result.failure.type_name == "AttributeError"

    async def test_module(self, runtime: Runtime) -> None:
        files = {
            "pack/__init__.py": "",
            "pack/main.py": (
                "import sys\nfrom pack import part\nprint(part.X, sys.argv[1:])\nsys.exit(4)"
            ),
            "pack/part.py": "X = 7",
        }
        result = await runtime.run(Module(name="pack.main", files=files, argv=("a b",)))
        assert (result.exit_code, result.stdout, result.ok) == (4, b"7 ['a b']\n", False)
        assert result.failure is None

    async def test_command(self, runtime: Runtime) -> None:
        result = await runtime.run(Command(argv=("tr", "a-z", "A-Z"), stdin=b"hello"))
        assert (result.exit_code, result.stdout, result.ok) == (0, b"HELLO", True)

    async def test_command_that_is_not_there(self, runtime: Runtime) -> None:
        result = await runtime.run(Command(argv=("no-such-program",)))
        assert result.failure is not None
        assert result.failure.type_name == "CommandNotFound"

    @pytest.mark.slow
    async def test_a_hundred_mebibytes_in_and_out(self, runtime: Runtime) -> None:
        data = bytes(_LARGE)
        inwards = await runtime.run(function("size", data, limits=_ROOM))
        assert (inwards.failure, inwards.value) == (None, _LARGE)
        outwards = await runtime.run(function("grow", _LARGE, limits=_ROOM))
        assert outwards.failure is None
        assert len(outwards.value) == _LARGE
        del data, outwards

    async def test_a_value_counts_as_output(self, runtime: Runtime) -> None:
        result = await runtime.run(function("grow", 3 * MIB, limits=Limits(output_bytes=MIB)))
        assert result.limits_hit == ("output_bytes",)
        assert result.value is None


class InstanceChecks(RuntimeChecks):
    """Objects, and Workers, that live between calls."""

    async def test_a_worker_that_is_kept_has_state(self, runtime: Runtime) -> None:
        values = [(await runtime.run(_seen(Reuse.KEEP, owner))).value for owner in "aaba"]
        assert values == [[1, 1], [2, 2], [1, 1], [3, 3]]

    async def test_a_copy_of_a_worker_has_files_only(self, runtime: Runtime) -> None:
        values = [(await runtime.run(_seen(Reuse.FORK, owner))).value for owner in "aab"]
        assert values == [[1, 1], [1, 2], [1, 1]]

    async def test_what_was_kept_is_not_for_who_asks_for_nothing_used(
        self, runtime: Runtime
    ) -> None:
        modes = (Reuse.KEEP, Reuse.ONE_SHOT, Reuse.KEEP)
        values = [(await runtime.run(_seen(mode, "a"))).value for mode in modes]
        assert values == [[1, 1], [1, 1], [2, 2]]

    async def test_what_is_kept_has_an_owner(self, runtime: Runtime) -> None:
        with pytest.raises(InvalidInputError, match="owner"):
            await runtime.run(_seen(Reuse.KEEP, ""))

    async def test_a_worker_that_is_kept_gets_a_bundle_once(self, runtime: Runtime) -> None:
        bundle = {"p.py": "n = 0\ndef f():\n    global n\n    n += 1\n    return n\n"}
        workload = Function(target="p:f", bundle=bundle, owner="a", reuse=Reuse.KEEP)
        runs = [await runtime.run(workload) for _ in range(2)]
        assert [(run.value, run.failure) for run in runs] == [(1, None), (2, None)]

    async def test_instance_that_is_kept(self, runtime: Runtime) -> None:
        runs = [await runtime.run(_more("mine")) for _ in range(3)]
        assert [(run.value, run.failure) for run in runs] == [(1, None), (2, None), (3, None)]
        assert (await runtime.run(_more("other"))).value == 1

    async def test_owners_do_not_share_an_instance(self, runtime: Runtime) -> None:
        owners = ("ann", "bob", "ann")
        values = [(await runtime.run(_more("it", owner=owner))).value for owner in owners]
        assert values == [1, 1, 2]

    async def test_instance_survives_an_error_of_its_method(self, runtime: Runtime) -> None:
        wrong = Class(target="m:Counter", source=SOURCE, method="no_such", instance="mine")
        assert (await runtime.run(_more("mine"))).value == 1
        assert (await runtime.run(wrong)).failure is not None
        assert (await runtime.run(_more("mine"))).value == 2

    async def test_instance_that_cannot_be_made_is_made_by_the_next_call(
        self, runtime: Runtime
    ) -> None:
        assert not (await runtime.run(_more("mine", init_args=(1, 2)))).ok
        assert (await runtime.run(_more("mine"))).value == 1

    async def test_a_lease_ends_and_is_told(self, runtime: Runtime) -> None:
        short = {"lease_seconds": 0.4}
        assert (await runtime.run(_more("mine", **short))).value == 1
        await asyncio.sleep(0.2)
        assert (await runtime.run(_more("mine", **short))).value == 2  # which renews it
        await asyncio.sleep(0.25)
        assert (await runtime.run(_more("mine", **short))).value == 3
        await asyncio.sleep(0.8)
        for _ in range(2):
            gone = await runtime.run(_more("mine", **short))
            assert gone.failure is not None
            assert gone.failure.type_name == "InstanceGone"
            assert "fresh=True" in gone.failure.message
        assert (await runtime.run(_more("mine", fresh=True))).value == 1
        assert (await runtime.run(_more("mine", fresh=True))).value == 2

    async def test_a_long_call_is_not_ended_by_its_lease(self, runtime: Runtime) -> None:
        source = "import time\nclass C:\n    def go(self): time.sleep(0.6); return 1"
        workload = Class(target="m:C", source=source, method="go", instance="i", lease_seconds=0.2)
        assert (await runtime.run(workload)).value == 1

    async def test_a_pool_of_instances(self, runtime: Runtime) -> None:
        source = (
            "import time\nclass C:\n    n = 0\n    def go(self):\n"
            "        time.sleep(0.3); self.n += 1; return self.n"
        )
        workload = Class(target="m:C", source=source, method="go", instance="i", instances=2)
        runs = await asyncio.gather(*(runtime.run(workload) for _ in range(4)))
        assert sorted(run.value for run in runs) == [1, 1, 2, 2]

    async def test_an_instance_is_of_one_class(self, runtime: Runtime) -> None:
        await runtime.run(_more("mine"))
        with pytest.raises(InvalidInputError, match="m:Counter"):
            await runtime.run(Class(target="collections:deque", method="copy", instance="mine"))


def _seen(reuse: Reuse, owner: str) -> Function:
    source = (
        "import builtins, os\ndef f():\n"
        "    builtins.seen = getattr(builtins, 'seen', 0) + 1\n"
        "    open('here', 'a').write('x')\n"
        "    return builtins.seen, os.path.getsize('here')"
    )
    return Function(target="m:f", source=source, owner=owner, reuse=reuse)


def _more(instance: str, **options: Any) -> Class:
    return Class(target="m:Counter", source=SOURCE, method="more", instance=instance, **options)
