"""What every runtime must do with the kinds of workload that it says it runs.

Use it with pytest and pytest-asyncio (``asyncio_mode = "auto"``)::

    class TestMine(RuntimeConformance):
        @pytest.fixture
        async def runtime(self):
            yield MyRuntime()

``ContainerConformance`` is for runtimes that run images. ``EndpointConformance`` is for runtimes
that call endpoints; theirs has to be allowed to reach ``127.0.0.1``, and to find the secret ``key``
as ``SECRET``.
"""

from __future__ import annotations

import pytest

from codin.runtime.base import Runtime, UnsupportedWorkload
from codin.runtime.workload import (
    WORKLOAD_KINDS,
    Class,
    Command,
    Container,
    Endpoint,
    Function,
    Module,
    Workload,
    backends_for,
)
from codin.testing._runtime_base import RuntimeChecks
from codin.testing._runtime_code import CodeChecks, InstanceChecks
from codin.testing._runtime_container import ContainerChecks
from codin.testing._runtime_endpoint import SECRET, EndpointChecks
from codin.testing._runtime_runs import RunChecks

__all__ = ["SECRET", "ContainerConformance", "EndpointConformance", "RuntimeConformance"]

_SAMPLES: dict[type, Workload] = {
    Function: Function(target="math:sqrt", args=(9.0,)),
    Module: Module(name="m", files={"m.py": ""}),
    Class: Class(target="collections:Counter", init_args=("aab",), method="total"),
    Command: Command(argv=("true",)),
    Container: Container(image="nothing"),
    Endpoint: Endpoint(url="http://127.0.0.1:9/"),
}


class _Refusals(RuntimeChecks):
    @pytest.mark.parametrize("kind", WORKLOAD_KINDS)
    async def test_what_it_does_not_run_it_refuses_by_name(
        self, runtime: Runtime, kind: type
    ) -> None:
        if kind in runtime.supports:
            assert await runtime.misfit(_SAMPLES[kind]) == ""
            return
        with pytest.raises(UnsupportedWorkload) as caught:
            await runtime.run(_SAMPLES[kind])
        assert kind.__name__ in str(caught.value)
        assert await runtime.misfit(_SAMPLES[kind])
        if runtime.name != "omni":
            assert all(name in str(caught.value) for name in backends_for(kind))


class RuntimeConformance(_Refusals, RunChecks, CodeChecks, InstanceChecks):
    """For runtimes of code and commands. Kinds that one does not run it has to refuse."""


class EndpointConformance(_Refusals, EndpointChecks):
    """For runtimes that call endpoints."""


class ContainerConformance(_Refusals, ContainerChecks):
    """For runtimes that run images."""
