"""The platform's memory at a server, which gateways on many machines share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from codin.config import ConfigError, MemorySettings, Settings, load_settings
from codin.gateway.memory import open_memory
from codin.memory.base import MemoryMessage
from codin.security import Scope
from codin.testing.postgres import PostgresServer
from codin.testing.redis import redis_server

pytestmark = pytest.mark.slow

ANN = Scope("acme", "ann", "writer", "talk")


@pytest.fixture(params=["postgres", "redis"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "postgres":
            server: PostgresServer = request.getfixturevalue("postgres")
            yield stack.enter_context(server.database())
        else:
            yield stack.enter_context(redis_server()).url()


async def test_what_one_gateway_keeps_another_finds(url: str, tmp_path: Path) -> None:
    for home in ("one", "two"):
        settings = Settings(home=tmp_path / home, memory=MemorySettings(url=url))
        async with open_memory(settings) as (memory, problem):
            assert problem is None
            if home == "one":
                await memory.history.append(ANN, MemoryMessage("user", "hello"))
            else:
                assert [one.text for one in await memory.history.list(ANN)] == ["hello"]
    assert not list(tmp_path.rglob("memory.db"))


def test_an_address_of_no_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "codin.toml").write_text('[memory]\nurl = "mysql://x"\n')
    with pytest.raises(ConfigError, match=r"memory\.url: .*give an address that begins with"):
        load_settings(tmp_path / "codin.toml")
