"""One platform gives a task to an agent of another: cards verified, tokens exchanged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from a2a_calls import COUNTER
from starlette.applications import Starlette

from codin.agent.a2a import user_message
from codin.agent.adapters.remote.agent import RemoteAgentError
from codin.agent.base import Task
from codin.agent.events import AgentEvent, Completed, Failed
from codin.config import AgentEntry, SecuritySettings
from codin.errors import InvalidInputError
from codin.gateway.jwks import jwks_routes
from codin.gateway.remote import RemoteAgents
from codin.gateway.server import HttpServer
from codin.security import (
    KeyRequest,
    OutgoingGuard,
    PeerSettings,
    PeerVerifier,
    Principal,
    SecurityStore,
)
from codin.security.card_signing import RingKeys
from codin.testing.serving import AUDIENCE, Served, serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

UMA = Principal("acme", "uma", frozenset({"user"}))
OWNER = Principal("partners", "olga", frozenset({"owner"}))


@dataclass
class Two:
    """The platform at home, whose keys are published at ``home_url``, and the one it asks."""

    home: SecurityStore
    home_url: str
    there: SecurityStore
    served: Served

    def remote(self, **settings: object) -> RemoteAgents:
        return RemoteAgents(
            SecuritySettings.model_validate(settings),
            self.home.issuer(self.home_url),
            self.home_url,
            RingKeys(self.home.card_ring),
        )

    def entry(self, **said: str) -> AgentEntry:
        return AgentEntry(source=f"{self.served.url}/agents/counter", **said)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    home, there = SecurityStore(tmp_path / "home"), SecurityStore(tmp_path / "there")
    keys = HttpServer(Starlette(routes=jwks_routes(home.jwks)), port=0)
    async with keys, OutgoingGuard(["127.0.0.1"]).client() as http:
        trusted = PeerSettings(
            issuer=keys.url, audience=AUDIENCE, tenant="partners", roles=("service",)
        )
        peers = [PeerVerifier(trusted, http)]
        async with serve_agents(
            tmp_path / "gateway", [COUNTER], FixedPlanner(), security=there, peers=peers
        ) as served:
            yield Two(home, keys.url, there, served)
    await home.close()
    await there.close()


async def run(agents: RemoteAgents, entry: AgentEntry, who: Principal = UMA) -> list[AgentEvent]:
    agent = agents.wrap(entry)
    task = Task("t", "c", user_message("2"), who)
    return [event async for event in await agent.handle(task)]


async def test_who_asked_at_home_is_known_there(two: Two) -> None:
    events = await run(two.remote(cards="off"), two.entry(audience=AUDIENCE))
    # its card too is shown only to those who come in
    assert isinstance(events[-1], Completed), events[-1]
    [*_, record] = await two.there.audit.list(OWNER)
    assert record.subject == f"{two.home_url}#acme/uma"
    assert record.entry.behalf == (two.home_url,)
    assert record.entry.action == "task.create"


@pytest.mark.parametrize(
    ("said", "why"),
    [({}, "401"), ({"audience": "https://another.example"}, "401")],
)
async def test_without_the_right_token_nobody_comes_in(
    two: Two, said: dict[str, str], why: str
) -> None:
    [*_, end] = await run(two.remote(cards="off"), two.entry(**said))
    assert isinstance(end, Failed)
    assert why in end.message


async def test_a_key_of_the_environment_is_shown(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = two.entry(bearer_env="COUNTER_KEY")
    with pytest.raises(InvalidInputError, match="COUNTER_KEY"):
        two.remote().wrap(entry)
    _, text = await two.there.keys.add(OWNER, KeyRequest("robot", frozenset({"user"})))
    monkeypatch.setenv("COUNTER_KEY", text)
    assert isinstance((await run(two.remote(cards="off"), entry))[-1], Completed)


async def test_a_card_has_to_be_signed_by_whom_the_operator_trusts(
    two: Two, tmp_path: Path
) -> None:
    entry = two.entry(audience=AUDIENCE)
    [*_, end] = await run(two.remote(cards="require"), entry)
    assert isinstance(end, Failed)
    assert end.error_type == RemoteAgentError.__name__
    assert "is not trusted here" in end.message
    file = tmp_path / "partners.json"
    file.write_text(json.dumps(two.there.jwks()), encoding="utf-8")
    trusting = two.remote(cards="require", card_keys=[file])
    assert isinstance((await run(trusting, entry))[-1], Completed)
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"partners\.json has no keys"):
        two.remote(card_keys=[file])


async def test_who_may_not_ask_there_has_nothing_asked(two: Two) -> None:
    narrow = Principal("acme", "uma", frozenset({"user"}), frozenset({"memory.read"}))
    [*_, end] = await run(two.remote(cards="off"), two.entry(audience=AUDIENCE), narrow)
    assert isinstance(end, Failed)
    assert "may have nothing done" in end.message
