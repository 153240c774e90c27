"""What an entry of the settings says of an agent's host reaches that host."""

from types import SimpleNamespace

import pytest

from codin.agent.host.packages import Environment
from codin.agent.host.spec import HostLimits
from codin.config import AgentEntry
from codin.gateway.team import bring_up


async def test_an_entrys_network_and_packages_are_its_hosts():
    started = []

    class Hosts:
        async def start(self, sources, *, network, environment, limits, say):
            started.append((sources, network, environment, limits))
            return SimpleNamespace(name="host", agents=(), problems=())

    entries = [
        AgentEntry(
            source="a:b", network=("API.example.com:443",), memory_mb=512, processes=40, cpus=0.5
        ),
        AgentEntry(source="c:d", requirements=("crewai>=1.15.30",)),
        AgentEntry(source="e:f", python="/venv/bin/python"),
    ]
    await bring_up(entries, Hosts(), lambda text: None)
    plain = HostLimits()
    assert started == [
        (["a:b"], ("api.example.com:443",), Environment(), HostLimits(512, 40, 0.5)),
        (["c:d"], (), Environment(("crewai>=1.15.30",)), plain),
        (["e:f"], (), Environment(python="/venv/bin/python"), plain),
    ]


FOR_HOSTS = {
    "network": ("example.com:443",),
    "requirements": ("example",),
    "python": "/venv/bin/python",
    "image": "example",
    "memory_mb": 100,
    "processes": 10,
    "cpus": 1.5,
}


@pytest.mark.parametrize("key", FOR_HOSTS)
def test_what_is_for_hosts_is_refused_elsewhere(key):
    for more in ({"source": "https://other.example"}, {"source": "a:b", "isolation": "process"}):
        with pytest.raises(ValueError, match=f"{key} (is|are) for agents in a host"):
            AgentEntry(**more, **{key: FOR_HOSTS[key]})


def test_an_agent_has_one_environment():
    with pytest.raises(ValueError, match="one environment"):
        AgentEntry(source="a:b", requirements=("x",), python="/venv/bin/python")
