"""What an entry of the settings says of an agent's host reaches that host."""

from types import SimpleNamespace

import pytest

from codin.config import AgentEntry
from codin.gateway.team import bring_up


async def test_an_entrys_network_and_packages_are_its_hosts():
    started = []

    class Hosts:
        async def start(self, sources, *, network, requirements):
            started.append((sources, network, requirements))
            return SimpleNamespace(name="host", agents=(), problems=())

    entries = [
        AgentEntry(source="a:b", network=("API.example.com:443",)),
        AgentEntry(source="c:d", requirements=("crewai>=1.15.30",)),
    ]
    await bring_up(entries, Hosts(), lambda text: None)
    assert started == [
        (["a:b"], ("api.example.com:443",), ()),
        (["c:d"], (), ("crewai>=1.15.30",)),
    ]


@pytest.mark.parametrize("key", ["network", "requirements"])
def test_what_is_for_hosts_is_refused_elsewhere(key):
    for more in ({"source": "https://other.example"}, {"source": "a:b", "isolation": "process"}):
        with pytest.raises(ValueError, match=f"{key} (is|are) for agents in a host"):
            AgentEntry(**more, **{key: ("example.com:443",)})
