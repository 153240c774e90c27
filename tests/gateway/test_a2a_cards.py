"""Cards at their addresses, and the one for the authenticated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import httpx
import pytest
from a2a.types import AgentCard
from a2a_calls import V1, rpc
from google.protobuf.json_format import ParseDict

from codin.agent.base import AgentInfo
from codin.agent.cards import RESUME_EXTENSION, Cards, agent_card
from codin.errors import NotFoundError
from codin.security import LOCAL_USER
from codin.task.handler import CARD_URL, AgentRequestHandler
from codin.task.work import Work
from codin.testing.tasks import call_context

CARD = "/.well-known/agent-card.json"
INFO = AgentInfo("a", "A", "does little", tools=("save",), required_extensions=("urn:x:1",))


@pytest.mark.parametrize("base", ["", "/agents/scout"])
async def test_a_card_can_be_kept(http: httpx.AsyncClient, base: str) -> None:
    first = await http.get(base + CARD)
    assert "max-age=60" in first.headers["cache-control"]
    assert "host" in first.headers["vary"]
    changed = parsedate_to_datetime(first.headers["last-modified"])
    assert abs(datetime.now(UTC) - changed) < timedelta(minutes=1)
    tag = first.headers["etag"]
    before = format_datetime(changed - timedelta(days=1), usegmt=True)
    for headers, status in (
        ({"if-none-match": tag}, 304),
        ({"if-none-match": f'"other", {tag.removeprefix("W/")}'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"other"'}, 200),
        ({"if-modified-since": first.headers["last-modified"]}, 304),
        ({"if-modified-since": before}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-none-match": '"other"', "if-modified-since": first.headers["last-modified"]}, 200),
    ):
        again = await http.get(base + CARD, headers=headers)
        assert again.status_code == status, headers
        assert again.headers["etag"] == tag
        assert again.headers["last-modified"] == first.headers["last-modified"]
        assert bool(again.content) == (status == 200)


async def test_a_card_says_what_is_served(http: httpx.AsyncClient) -> None:
    found = (await http.get(CARD, headers=V1)).json()
    ParseDict(found, AgentCard())  # nothing in it that 1.0 does not know
    capabilities = found["capabilities"]
    assert capabilities["streaming"]
    assert capabilities["extendedAgentCard"]
    [resume] = capabilities["extensions"]
    assert (resume["uri"], resume.get("required", False)) == (RESUME_EXTENSION, False)
    faces = found["supportedInterfaces"]
    served = {(one["protocolBinding"], one["protocolVersion"]) for one in faces}
    assert {("JSONRPC", "1.0"), ("HTTP+JSON", "1.0"), ("JSONRPC", "0.3")} <= served
    old = (await http.get(CARD)).json()
    assert old["url"].startswith("http://127.0.0.1")
    assert old["protocolVersion"].startswith("0.3")


def test_an_agents_own_card_promises_nothing_of_the_gateways() -> None:
    own = agent_card(INFO, "http://x/")
    assert not own.capabilities.extensions
    assert not own.capabilities.extended_agent_card
    served = Cards().public(INFO, "http://x/")
    required = [one.uri for one in served.capabilities.extensions if one.required]
    assert required == ["urn:x:1"]
    bare = Cards(old_clients=False).public(INFO, "http://x/")
    assert {one.protocol_version for one in bare.supported_interfaces} == {"1.0"}


def test_the_extended_card_has_tools_and_the_team() -> None:
    team = [AgentInfo("b", "B", "does more")]
    card = Cards().extended(INFO, "http://x/", team)
    assert [skill.id for skill in card.skills] == ["a", "a-tool-save", "b"]


@pytest.mark.parametrize("base", ["", "/agents/scout"])
async def test_the_extended_card_is_asked_for_over_either_binding(
    http: httpx.AsyncClient, base: str
) -> None:
    by_rpc = (await http.post(base or "/", json=rpc("GetExtendedAgentCard", {}), headers=V1)).json()
    by_rest = await http.get(f"{base}/extendedAgentCard", headers=V1)
    assert by_rest.headers["content-type"] == "application/a2a+json"
    assert by_rpc["result"] == by_rest.json()
    skills = {skill["id"] for skill in by_rest.json()["skills"]}
    public = {skill["id"] for skill in (await http.get(base + CARD)).json()["skills"]}
    assert public < skills


async def test_where_there_is_no_extended_card(runner_stub: Any) -> None:
    handler = AgentRequestHandler("a", no_work, runner_stub)
    asked: Any = None
    from a2a.utils import errors

    with pytest.raises(errors.UnsupportedOperationError):
        await handler.on_get_extended_agent_card(asked, call_context(LOCAL_USER))
    handler.extended_card = lambda _, url: Cards().extended(INFO, url)
    with pytest.raises(errors.ExtendedAgentCardNotConfiguredError):
        await handler.on_get_extended_agent_card(asked, call_context(LOCAL_USER))
    with pytest.raises(errors.InvalidRequestError):
        await handler.on_get_extended_agent_card(asked, call_context(None))
    context = call_context(LOCAL_USER, **{CARD_URL: "http://here/"})
    card = await handler.on_get_extended_agent_card(asked, context)
    assert card.supported_interfaces[0].url == "http://here/"


def no_work(_: object) -> Work:
    raise NotFoundError("nothing is asked for here")


@pytest.fixture
def runner_stub() -> Any:
    class Runner:
        log = None
        idempotent = True

    return Runner()
