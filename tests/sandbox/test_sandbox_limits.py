"""Limits that no sandbox could mean are refused where they are written."""

import math

import pytest

from codin.errors import InvalidInputError
from codin.sandbox import Limits
from codin.sandbox.base import LIMITED


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_limit_is_above_zero(name, value):
    with pytest.raises(InvalidInputError, match=f"{name} is above zero.*None asks for no limit"):
        Limits(**{name: value})


@pytest.mark.parametrize("entry", ["example.com", ":443", "example.com:", "a:0", "a:70000", "a:b"])
def test_the_network_allows_hosts_with_ports(entry):
    with pytest.raises(InvalidInputError, match="host:port"):
        Limits(network=(entry,))


def test_what_the_network_may_be():
    for network in ("none", "open", ("example.com:443", "[2001:db8::1]:80"), ()):
        assert Limits(network=network).network == network
