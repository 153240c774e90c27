"""APIs of the settings as tools of the platform: given to agents, listed, and left out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codin.cli.tools import tools
from codin.config import (
    AgentEntry,
    ConfigError,
    OpenApiSettings,
    SecuritySettings,
    Settings,
    load_settings,
)
from codin.gateway.opening import open_platform
from codin.model import parse
from codin.security import LOCAL_USER, Principal
from codin.task.log.follow import follow
from codin.testing.a2a_server import listening

pytestmark = pytest.mark.slow

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
ASKER = """
from codin import wrap
from codin.agent import Task

async def asker(task: Task) -> str:
    weather = {tool.name: tool for tool in task.tools}["weather_get_city"]
    return f"it is {await weather.invoke(city=task.text)}"

agent = wrap(asker, id="asker", description="Asks for the weather.", tools=["weather_get_city"])
"""


def document(url: str) -> dict[str, Any]:
    parameter = {"name": "city", "in": "path", "required": True, "schema": {"type": "string"}}
    operation = {"operationId": "get/city", "parameters": [parameter], "responses": {}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weather", "version": "1"},
        "servers": [{"url": url}],
        "paths": {"/cities/{city}": {"get": operation}, "/bad": {"get": "words"}},
    }


async def weather(request: Request) -> Response:
    return JSONResponse({"city": request.path_params["city"], "sky": "clear"})


async def test_an_agent_in_a_host_calls_an_api(tmp_path: Path) -> None:
    (tmp_path / "asker.py").write_text(ASKER)
    async with listening(Starlette(routes=[Route("/cities/{city}", weather)])) as url:
        (tmp_path / "api.json").write_text(json.dumps(document(url)))
        settings = Settings(
            home=tmp_path / "home",
            agents=(AgentEntry(source=str(tmp_path / "asker.py")),),
            openapi={
                "weather": OpenApiSettings(document=str(tmp_path / "api.json")),
                "none": OpenApiSettings(document=str(tmp_path / "none.json")),
            },
            security=SecuritySettings(outgoing=("127.0.0.1",)),
        )
        async with open_platform(settings, NO_MODEL) as platform:
            task_id = await platform.submit(LOCAL_USER, "Paris")
            events = [event async for event in follow(platform.log, LOCAL_USER, task_id)]
            said = {problem.message for problem in platform.problems}
            stranger = Principal("elsewhere", "somebody")
            names = [tool.spec.name for tool in platform.tools.list(LOCAL_USER)]
            assert platform.tools.list(stranger) == []
    assert any("it is {'city': 'Paris', 'sky': 'clear'}" in str(event.body) for event in events)
    assert "weather_get_city" in names
    assert "weather: GET /bad: it is no object" in said
    assert any("none.json: cannot be read" in message for message in said)


def test_they_are_listed(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(json.dumps(document("https://api.test")))
    (tmp_path / "codin.toml").write_text('[openapi.weather]\ndocument = "api.json"\n')
    shown = CliRunner().invoke(tools, ["--config", str(tmp_path / "codin.toml"), "--json"])
    assert shown.exit_code == 0
    specs = [json.loads(line) for line in shown.stdout.splitlines()]
    found = next(spec for spec in specs if spec["name"] == "weather_get_city")
    assert (found["origin"], found["input_schema"]["required"]) == ("openapi", ["city"])
    assert "GET /bad: it is no object" in shown.stderr


FINDER = """
from codin import wrap
from codin.agent import Task

async def finder(task: Task) -> str:
    tools = {tool.name: tool for tool in task.tools}
    found = await tools["find_tools"].invoke(query=task.text)
    return f"first is {found[0]['name']}"

agent = wrap(finder, id="finder", description="Looks for tools.", tools=["shop_*"])
"""


async def test_tools_are_found_by_meaning_where_the_settings_say_so(tmp_path: Path) -> None:
    (tmp_path / "finder.py").write_text(FINDER)
    paths: dict[str, Any] = {
        f"/{number}": {"get": {"operationId": f"shelf_{number}", "responses": {}}}
        for number in range(45)
    }
    paths["/pay"] = {"post": {"operationId": "pay", "summary": "Pay a bill", "responses": {}}}
    paths["/sms"] = {"post": {"operationId": "sms", "summary": "Send an SMS", "responses": {}}}
    made = {**document("https://shop.test"), "paths": paths}
    (tmp_path / "api.json").write_text(json.dumps(made))
    (tmp_path / "codin.toml").write_text(
        'home = "home"\n[openapi.shop]\ndocument = "api.json"\n[search]\nmeaning = true\n'
        '[[agents]]\nsource = "finder.py"\nisolation = "process"\n'
    )
    settings = load_settings(tmp_path / "codin.toml")
    said = ""
    async with open_platform(settings, NO_MODEL) as platform, asyncio.timeout(60):
        while "first is shop_sms" not in said:  # until they are embedded, by words alone
            task_id = await platform.submit(LOCAL_USER, "einen Freund anschreiben, Handynachricht")
            events = [event async for event in follow(platform.log, LOCAL_USER, task_id)]
            said = str([event.body for event in events])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('documnt = "x"', "unknown key 'openapi.api.documnt'; did you mean 'document'?"),
        ('document = "x"\n[openapi.Bad-Name]\ndocument = "y"', "openapi"),
        ('document = "x"\n[openapi.api.credentials.a]\nkind = "key"', "openapi.api.credentials.a"),
        (
            'document = "x"\n[openapi.api.credentials.a]\nkind = "bearer"\ntoken = {}',
            'a secret is named by env = "NAME" or by file = "path"',
        ),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "codin.toml").write_text(f"[openapi.api]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "codin.toml")
    assert said in str(caught.value)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "codin.toml").write_text(
        '[openapi.near]\ndocument = "api.json"\n'
        '[openapi.near.credentials.a]\nkind = "bearer"\ntoken = { file = "token" }\n'
        '[openapi.far]\ndocument = "https://api.test/openapi.json"\n'
    )
    apis = load_settings(tmp_path / "codin.toml").openapi
    assert apis["near"].document == str(tmp_path / "api.json")
    assert f"{tmp_path}/token" in str(apis["near"].credentials["a"])
    assert apis["far"].document == "https://api.test/openapi.json"
