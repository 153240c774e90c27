"""What an entry of the settings says of an agent's host reaches that host."""

from types import SimpleNamespace

from codin.config import AgentEntry
from codin.gateway.team import bring_up


async def test_an_entrys_network_is_its_hosts():
    started = []

    class Hosts:
        async def start(self, sources, *, network):
            started.append((sources, network))
            return SimpleNamespace(name="host", agents=(), problems=())

    entries = [
        AgentEntry(source="a:b", network=("API.example.com:443",)),
        AgentEntry(source="c:d"),
    ]
    await bring_up(entries, Hosts(), lambda text: None)
    assert started == [(["a:b"], ("api.example.com:443",)), (["c:d"], ())]
