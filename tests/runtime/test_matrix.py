"""The matrix: what each cell says comes from running it."""

import pytest

from codin.errors import InvalidInputError
from codin.runtime import LocalRuntime
from codin.runtime.matrix import examine
from codin.runtime.workload import BACKENDS, WORKLOAD_KINDS, backends_for
from codin.sandbox import LocalSandboxProvider, SandboxSupport

pytestmark = pytest.mark.slow


@pytest.fixture
async def cells():
    return {(cell.workload, cell.backend): cell for cell in await examine(["local", "http"])}


async def test_what_the_design_promises_of_this_machine_is_ok(cells):
    for kind in WORKLOAD_KINDS:
        for backend in ("local", "http"):
            cell = cells[kind.__name__, backend]
            promised = backend in backends_for(kind)
            assert cell.status == ("ok" if promised else "unsupported"), cell
            assert (cell.seconds > 0) == promised
            if not promised:
                assert all(name in cell.detail for name in backends_for(kind))


async def test_what_is_not_built_says_so():
    cells = await examine(["ray"])
    assert [cell.status for cell in cells] == [
        "unavailable" if "ray" in backends_for(kind) else "unsupported" for kind in WORKLOAD_KINDS
    ]
    assert all("yet" in cell.detail for cell in cells if cell.status == "unavailable")


class _NoUse(LocalSandboxProvider):
    async def probe(self):
        found = await super().probe()
        return SandboxSupport(found.isolation, available=False, reason="install the thing")


async def test_what_cannot_be_had_says_how_to_get_it():
    runtime = LocalRuntime(_NoUse())
    cells = await examine(["local"], made={"local": runtime})
    await runtime.close()
    assert {(cell.status, cell.detail) for cell in cells if cell.workload == "Function"} == {
        ("unavailable", "install the thing")
    }


class _Liar(LocalRuntime):
    async def run(self, workload, /, *, stream=False):
        result = await super().run(workload, stream=False)
        result.value = 0
        return result


async def test_a_wrong_answer_is_a_failure():
    runtime = _Liar()
    cells = {cell.workload: cell for cell in await examine(["local"], made={"local": runtime})}
    await runtime.close()
    assert cells["Function"].status == "failed"
    assert "0" in cells["Function"].detail
    assert cells["Command"].status == "ok"


async def test_an_unknown_backend():
    with pytest.raises(InvalidInputError, match="'moon'"):
        await examine(["moon"])
    assert "docker" in BACKENDS
