"""The agent of the conformance kit does what the kit's messages ask for."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[2] / "examples" / "conformance_agent.py"


@pytest.fixture(scope="module")
def agent() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conformance_agent", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def http(agent: ModuleType, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        agent.served(tmp_path, 0, 0) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http,
    ):
        yield http


async def send(http: httpx.AsyncClient, message_id: str) -> dict[str, Any]:
    message = {"messageId": message_id, "role": "ROLE_USER", "parts": [{"text": "go"}]}
    answer = await http.post("/message:send", json={"message": message}, headers=V1)
    found: dict[str, Any] = answer.json()
    return found


V1 = {"A2A-Version": "1.0"}


@pytest.mark.parametrize(
    ("beginning", "state"),
    {
        "tck-complete-task": "COMPLETED",
        "tck-input-required": "INPUT_REQUIRED",
        "tck-reject-task": "REJECTED",
        "anything": "COMPLETED",
    }.items(),
)
async def test_states(http: httpx.AsyncClient, beginning: str, state: str) -> None:
    first, second = [(await send(http, f"{beginning}-1"))["task"] for _ in range(2)]
    assert first["status"]["state"] == f"TASK_STATE_{state}"
    assert first["id"] != second["id"]  # the kit means a task by each


@pytest.mark.parametrize(
    ("beginning", "part"),
    {
        "tck-artifact-text": {"text": "Generated text content"},
        "tck-artifact-data": {"data": {"key": "value", "count": 42.0}},
        "tck-artifact-file-url": {"url": "https://example.com/output.txt"},
        "tck-artifact-file": {"raw": "dGNr"},
        "tck-stream-artifact-chunked": {"text": "chunk-1 chunk-2"},
    }.items(),
)
async def test_artifacts(http: httpx.AsyncClient, beginning: str, part: dict[str, Any]) -> None:
    [artifact] = (await send(http, f"{beginning}-1"))["task"]["artifacts"]
    assert part.items() <= artifact["parts"][0].items()


async def test_a_message_instead_of_a_task(http: httpx.AsyncClient) -> None:
    found = await send(http, "tck-message-response-1")
    assert found["message"]["parts"] == [{"text": "Direct message response"}]


async def test_its_card_has_all_three_bindings(http: httpx.AsyncClient) -> None:
    card = (await http.get("/.well-known/agent-card.json")).json()
    assert [one["protocolBinding"] for one in card["supportedInterfaces"]] == [
        "JSONRPC",
        "HTTP+JSON",
        "GRPC",
    ]
    assert card["capabilities"]["pushNotifications"]
