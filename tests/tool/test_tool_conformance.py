"""Tools of each origin, by the same suite."""

import pytest
from tool_house import House

from codin.testing.tool_conformance import ToolCase, ToolConformance
from codin.tool import Tool


def bound(house: House, name: str) -> Tool:
    return next(tool for tool in house.executor.bind(house.grant()) if tool.name == name)


@pytest.mark.asyncio(loop_scope="module")
class TestSandboxedFunction(ToolConformance):
    @pytest.fixture
    def case(self, house: House) -> ToolCase:
        return ToolCase(
            tool=bound(house, "count_slowly"),
            arguments={"to": 3},
            expected=[1, 2, 3],
            wrong={"to": "many"},
            wrong_name="to",
            failing={"to": -1},
            slow={"to": 1, "seconds": 60},
        )


@pytest.mark.asyncio(loop_scope="module")
class TestTrustedFunction(ToolConformance):
    @pytest.fixture
    def case(self, house: House) -> ToolCase:
        return ToolCase(
            tool=bound(house, "count_here"),
            arguments={"to": 3},
            expected=[1, 2, 3],
            wrong={"to": []},
            wrong_name="to",
            failing={"to": -1},
            slow={"to": 1, "seconds": 60},
        )


@pytest.mark.asyncio(loop_scope="module")
class TestBuiltin(ToolConformance):
    @pytest.fixture
    def case(self, house: House) -> ToolCase:
        return ToolCase(
            tool=bound(house, "run_python"),
            arguments={"code": "print(6 * 7)"},
            expected="42",
            wrong={"code": None},
            wrong_name="code",
            failing={"code": "1 / 0"},
            slow={"code": "import time; time.sleep(60)"},
        )
