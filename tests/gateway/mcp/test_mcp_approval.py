"""Calls that a policy wants approved, made by MCP clients: their own user is asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_place import REVISIONS, Place, served, settings

from codin.config import PolicySettings

pytestmark = pytest.mark.slow

ASK: dict[str, Any] = {"tool": "add", "effect": "ask", "argument": "a", "min": 100}
SHOWN = (
    'May this call be made?\nadd {\n  "a": 100,\n  "b": 1\n}\n'
    "add: argument 'a' is 100, and a value at least 100 has to be approved by somebody, which "
    "nobody has done."
)
TOML = """
home = "home"
tools = ["tools.py"]

[[policies]]
tool = "add"
effect = "ask"
argument = "a"
min = 100
"""
TOOLS = """
from codin import tool

@tool
def add(a: int, b: int) -> dict:
    \"\"\"Add two numbers.\"\"\"
    return {"sum": a + b}
"""


class User:
    """Answers what a client asks."""

    def __init__(self, answer: types.ElicitResult) -> None:
        self.asked: list[str] = []
        self._answer = answer

    async def __call__(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(params.message)
        return self._answer


def accepted(approve: object = True) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"approve": approve})  # type: ignore[dict-item]


ANSWERS = [
    (accepted(), ""),
    (accepted(False), "decline"),
    (accepted("yes"), "decline"),
    (types.ElicitResult(action="decline"), "decline"),
    (types.ElicitResult(action="cancel"), "cancel"),
]


async def call(client: Client, **arguments: Any) -> tuple[str, bool]:
    result: Any = await client.call_tool("add", arguments)
    return result.content[0].text, bool(result.is_error)


def refused(answer: str) -> tuple[str, bool]:
    said = f"add: the call was not approved; the user's answer was {answer!r}. Do not make it again"
    return f"{said} without being told to", True


async def http_client(place: Place, mode: Any, user: User | None) -> Client:
    http = httpx2.AsyncClient(timeout=30)
    return Client(
        streamable_http_client(place.url, http_client=http), mode=mode, elicitation_callback=user
    )


async def test_the_clients_user_is_asked(tmp_path: Path) -> None:
    given = settings(tmp_path).model_copy(
        update={"policies": (PolicySettings.model_validate(ASK),)}
    )
    async with served(given) as place:
        for answer, said in ANSWERS:
            user = User(answer)
            async with await http_client(place, "auto", user) as client:
                assert client.protocol_version == REVISIONS[0]
                found = await call(client, a=100, b=1)
                assert found == (refused(said) if said else ('{"sum": 101}', False))
                assert user.asked == [SHOWN]
                assert await call(client, a=1, b=1) == ('{"sum": 2}', False)
                assert len(user.asked) == 1
        # Whoever has no user to ask, and whom nobody can ask back, is told what is missing.
        for mode, user in (("auto", None), ("legacy", None), ("legacy", User(accepted()))):
            async with await http_client(place, mode, user) as client:
                text, is_error = await call(client, a=100, b=1)
                assert is_error
                assert "has to be approved by somebody, which nobody has done" in text


async def test_an_answer_approves_no_other_call(tmp_path: Path) -> None:
    given = settings(tmp_path).model_copy(
        update={"policies": (PolicySettings.model_validate(ASK),)}
    )
    user = User(accepted())
    async with served(given) as place, await http_client(place, "auto", user) as client:
        session: Any = client.session
        first = await session.call_tool("add", {"a": 100, "b": 1}, allow_input_required=True)
        assert isinstance(first, types.InputRequiredResult)
        assert first.input_requests is not None
        answers = {key: accepted() for key in first.input_requests}
        for state, b in ((first.request_state, 2), ("made up", 1), (None, 1)):
            again = await session.call_tool(
                "add",
                {"a": 100, "b": b},
                input_responses=answers,
                request_state=state,
                allow_input_required=True,
            )
            assert isinstance(again, types.InputRequiredResult)
        done: Any = await session.call_tool(
            "add",
            {"a": 100, "b": 1},
            input_responses=answers,
            request_state=first.request_state,
            allow_input_required=True,
        )
        assert done.structured_content == {"sum": 101}


@pytest.mark.parametrize(("mode", "revision"), [("auto", REVISIONS[0]), ("legacy", REVISIONS[1])])
async def test_over_stdio_in_both_revisions(tmp_path: Path, mode: Any, revision: str) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "codin.toml").write_text(TOML)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "codin", "mcp", "--config", str(tmp_path / "codin.toml")],
        env=dict(os.environ),
    )
    for answer, said in ANSWERS[:2]:
        user = User(answer)
        async with Client(server, mode=mode, elicitation_callback=user) as client:
            assert client.protocol_version == revision
            found = await call(client, a=100, b=1)
            assert found == (refused(said) if said else ('{"sum": 101}', False))
            assert user.asked == [SHOWN]
