"""Results of pure tools: kept for who asked, bounded, and nobody's to change."""

import json
from typing import Any

from quick_executor import Quick, Scripted

from codin.security import LOCAL_USER, Principal
from codin.tool import ToolFailed, ToolSpec
from codin.tool.execution.cache import ResultCache
from codin.tool.execution.result import Told

OTHER = Principal("local", "other", roles=frozenset({"owner"}))
ELSEWHERE = Principal("elsewhere", LOCAL_USER.subject, roles=frozenset({"owner"}))


async def test_a_pure_tool_runs_once_for_the_same_arguments() -> None:
    tool = Scripted([1], [2], [3], [4], name="pure", pure=True)
    quick = Quick(tool)
    first = await quick.call("pure", {"x": 1, "y": 2})
    again = await quick.call("pure", '{"y": 2, "x": 1}')
    assert (first.value, first.cached) == ([1], False)
    assert (again.value, again.text, again.cached) == ([1], "[1]", True)
    again.value.append("spoilt")
    assert (await quick.call("pure", {"x": 1, "y": 2})).value == [1]
    assert (await quick.call("pure", {"x": 2})).value == [2]
    assert (await quick.call("pure", {"x": 1, "y": 2}, principal=OTHER)).value == [3]
    assert (await quick.call("pure", {"x": 1, "y": 2}, principal=ELSEWHERE)).value == [4]


async def test_other_tools_and_failures_are_not_kept() -> None:
    plain, failing = Scripted(1, 2), Scripted(ToolFailed("no"), 5, name="failing", pure=True)
    never = Scripted(1, 2, name="never", pure=True, cache_seconds=0)
    quick = Quick(plain, failing, never)
    assert [(await quick.call("scripted", {})).value for _ in range(2)] == [1, 2]
    assert (await quick.call("failing", {})).is_error
    assert (await quick.call("failing", {})).value == 5
    assert [(await quick.call("never", {})).value for _ in range(2)] == [1, 2]


async def test_what_may_no_longer_be_called_is_not_answered_from_the_cache() -> None:
    quick = Quick(Scripted("kept", name="pure", pure=True))
    assert (await quick.call("pure", {})).value == "kept"
    nobody = Principal(LOCAL_USER.tenant, LOCAL_USER.subject)
    assert (await quick.call("pure", {}, principal=nobody)).error_type == "UnknownTool"
    quick.registry.unregister("pure")
    quick.registry.register(Scripted("new", name="pure", pure=True))
    assert (await quick.call("pure", {})).value == "new"


def put(cache: ResultCache, spec: ToolSpec, arguments: str, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cache.put(spec, LOCAL_USER, arguments, Told(value, text))


def get(cache: ResultCache, spec: ToolSpec, arguments: str) -> tuple[Any] | None:
    kept = cache.get(spec, LOCAL_USER, arguments)
    return None if kept is None else (kept.value,)


def spec(seconds: float = 10.0) -> ToolSpec:
    return ToolSpec(name="pure", pure=True, cache_seconds=seconds)


def test_it_ends_after_its_time() -> None:
    now = [0.0]
    cache, pure = ResultCache(clock=lambda: now[0]), spec()
    put(cache, pure, "{}", None)
    now[0] = 9.9
    assert get(cache, pure, "{}") == (None,)
    now[0] = 10.0
    assert get(cache, pure, "{}") is None
    assert len(cache) == 0


def test_it_is_bounded_by_entries_and_by_characters() -> None:
    pure = spec()
    cache = ResultCache(entries=3)
    for number in range(5):
        put(cache, pure, str(number), number)
        assert get(cache, pure, "0") == (0,)
    kept = [number for number in range(5) if get(cache, pure, str(number))]
    assert kept == [0, 3, 4]
    cache = ResultCache(chars=800)
    for number in range(20):
        put(cache, pure, f"{number:2}", "x" * 90)
    assert len(cache) == 8
    put(cache, pure, "19", "y" * 90)
    assert len(cache) == 8
    put(cache, pure, "large", "x" * 200)
    assert (len(cache), get(cache, pure, "large")) == (8, None)
    put(cache, pure, "19", "x" * 200)
    assert get(cache, pure, "19") is None, "what was kept before is another result"


def test_data_comes_back_as_it_was() -> None:
    pure, cache = spec(), ResultCache()
    value: Any = {"a": [1, 2.5, None, True, "é😀"], "big": 2**63}
    put(cache, pure, "{}", value)
    assert get(cache, pure, "{}") == (value,)
    put(cache, pure, "{}", "[1]")
    assert get(cache, pure, "{}") == ("[1]",)
