"""The platform's servers as the settings have them: who is let in, where, and by what name."""

from __future__ import annotations

import re
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from a2a.types import AgentCard, SendMessageRequest
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from certificates import certificate
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_calls import V1

from codin.agent.a2a import user_message
from codin.agent.cards import RESUME_EXTENSION
from codin.config import AgentEntry, ConfigError, DatabaseSettings, ServerSettings, Settings
from codin.errors import InvalidInputError
from codin.gateway.errors import UnsafeAddress
from codin.gateway.opening import open_platform
from codin.gateway.serving import check_server, serve
from codin.model import parse
from codin.security import KeyRequest, Principal
from codin.testing.postgres import PostgresServer

CARD = "/.well-known/agent-card.json"
NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
OWNER = Principal("acme", "olga", frozenset({"owner"}))
ECHO = """
from codin import wrap

async def echo(text: str) -> str:
    return f"echo: {text}"

agent = wrap(echo, id="echo", description="Says it again.")
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "echo.py"
    file.write_text(ECHO)
    agents = (AgentEntry(source=str(file), isolation="process"),)
    server = ServerSettings(port=0, grpc_port=0)
    return Settings(home=tmp_path / "home", agents=agents, server=server)


def asking(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"security": settings.security.model_copy(update={"auth": True})}
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3"])
def test_other_machines_are_served_only_when_they_are_asked_who_they_are(host: str) -> None:
    server = ServerSettings(host=host, public_url="https://agents.example.org")
    with pytest.raises(UnsafeAddress, match=r"auth = true.*codin auth key add"):
        check_server(server, guarded=False)
    check_server(server, guarded=True)


def test_who_is_served_everywhere_has_to_say_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--public-url"):
        check_server(ServerSettings(host="0.0.0.0"), guarded=True)
    missing = tmp_path / "none.pem"
    with pytest.raises(ConfigError, match=r"none\.pem cannot be read"):
        check_server(ServerSettings(certificate=missing, certificate_key=missing), guarded=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"public_url": "agents.example.org"},
        {"public_url": "https://agents.example.org/below"},
        {"certificate": "chain.pem"},
        {"grpc_port": -1},
    ],
)
def test_settings_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings().with_server(**wrong)


@pytest.mark.slow
async def test_a_platform_that_asks_is_served_over_every_binding(
    settings: Settings, tmp_path: Path
) -> None:
    key, chain = certificate()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "chain.pem").write_bytes(chain)
    secure = asking(settings).with_server(
        host="0.0.0.0",
        public_url="https://localhost",
        certificate=tmp_path / "chain.pem",
        certificate_key=tmp_path / "key.pem",
        root="echo",
    )
    trusted = ssl.create_default_context(cadata=chain.decode())
    async with (
        open_platform(secure, NO_MODEL) as platform,
        serve(platform.parts(), secure.server, guarded=True) as served,
    ):
        _, text = await platform.trust.store.keys.add(OWNER, KeyRequest("k", frozenset({"user"})))
        url = served.url.replace("0.0.0.0", "localhost")
        assert url.startswith("https://")
        async with httpx.AsyncClient(base_url=url, verify=trusted, trust_env=False) as http:
            card = ParseDict((await http.get(CARD)).json(), AgentCard(), ignore_unknown_fields=True)
            assert card.name == "echo"
            assert {one.url for one in card.supported_interfaces if "http" in one.url} == {
                "https://localhost",
                "https://localhost/",
            }
            assert card.signatures
            assert (await http.get("/agents/orchestrator" + CARD)).status_code == 401
            http.headers["authorization"] = f"Bearer {text}"
            moved = (await http.get("/agents/orchestrator" + CARD)).json()
            assert moved["name"] == "codin"
            away = await http.get(CARD, headers={"host": "evil.example"})
            assert away.status_code == 403
        assert served.grpc is not None
        target = f"localhost:{served.grpc.rpartition(':')[2]}"
        credentials = grpc.ssl_channel_credentials(chain)
        async with grpc.aio.secure_channel(target, credentials) as channel:
            metadata = (*V1, ("authorization", f"Bearer {text}"))
            asked = SendMessageRequest(message=user_message("hello"))
            answer = await A2AServiceStub(channel).SendMessage(asked, metadata=metadata)
            assert "echo: hello" in str(answer)


@pytest.mark.slow
async def test_an_agent_that_is_not_there_cannot_be_in_front(settings: Settings) -> None:
    async with open_platform(settings.with_server(root="ghost"), NO_MODEL) as platform:
        with pytest.raises(InvalidInputError, match=r"no agent 'ghost'.*orchestrator, echo"):
            platform.parts()


@pytest.mark.slow
async def test_two_gateways_over_one_postgres_serve_each_others_tasks(
    settings: Settings, tmp_path: Path, postgres: PostgresServer
) -> None:
    with postgres.database() as url:
        shared = DatabaseSettings(url=url)
        both = [
            asking(settings).model_copy(update={"database": shared, "home": tmp_path / name})
            for name in ("one", "two")
        ]
        async with AsyncExitStack() as stack:
            platforms, places = [], []
            for each in both:
                platform = await stack.enter_async_context(open_platform(each, NO_MODEL))
                serving = serve(platform.parts(), each.server, guarded=True)
                places.append((await stack.enter_async_context(serving)).url)
                platforms.append(platform)
            keys = platforms[0].trust.store.keys
            _, text = await keys.add(OWNER, KeyRequest("k", frozenset({"user"})))
            headers = {"authorization": f"Bearer {text}", "a2a-version": "1.0"}
            http = await stack.enter_async_context(
                httpx.AsyncClient(headers=headers, trust_env=False)
            )
            asked = MessageToDict(SendMessageRequest(message=user_message("hello")))
            sent = await http.post(f"{places[0]}/agents/echo/message:send", json=asked)
            task_id = sent.json()["task"]["id"]
            path = f"{places[1]}/agents/echo/tasks/{task_id}"
            assert (await http.get(path)).json()["status"]["state"] == "TASK_STATE_COMPLETED"
            resuming = {"a2a-extensions": RESUME_EXTENSION, "last-event-id": "1"}
            missed = await http.get(f"{path}:subscribe", headers=resuming)
            assert missed.status_code == 200, missed.text
            numbers = [int(n) for n in re.findall(r"^id: (\d+)$", missed.text, re.MULTILINE)]
            untold = 3  # what the run was begun with
            assert numbers == [n for n in range(2, numbers[-1] + 1) if n != untold]
            again = await http.post(f"{places[1]}/agents/echo/message:send", json=asked)
            assert again.json()["task"]["id"] == task_id, "the message is known there too"
            records = await platforms[1].trust.store.audit.list(OWNER)
            assert {record.entry.action for record in records} == {"task.create"}
