"""What an allow-list allows, and that nothing else is allowed in any spelling."""

import ipaddress
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codin.errors import InvalidInputError
from codin.sandbox import Limits
from codin.security.targets import AllowList, Target, parse_target

labels = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=12).filter(
    lambda label: label[0] != "-" and label[-1] != "-"
)
names = (
    st.lists(labels, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda name: not name.rpartition(".")[2].isdigit())
    .filter(lambda name: not name.rpartition(".")[2].startswith("0x"))
)
ports = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("api.example.com:443", "api.example.com", 443),
        ("API.Example.COM.:443", "api.example.com", 443),
        ("localhost:1", "localhost", 1),
        ("_x.example:65535", "_x.example", 65535),
        ("bücher.example:443", "xn--bcher-kva.example", 443),
        ("10.0.0.5:80", "10.0.0.5", 80),
        ("[2001:DB8:0::1]:443", "2001:db8::1", 443),
        ("[::1]:80", "::1", 80),
    ],
)
def test_targets_have_one_form(text, host, port):
    assert parse_target(text) == Target(host, port)
    assert parse_target(str(parse_target(text))) == Target(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":443", "example.com", "example.com:", "example.com:0", "example.com:65536"),
        *("example.com:443x", "example.com:-1", "example.com:443:443", "example.com:4 43"),
        *("http://example.com:443", "example.com:443/", "allowed:443@evil:443", "a@b:1", "a b:1"),
        *("example.com..:443", ".example.com:443", "exa..mple:1", "-a.example:1", "a-.example:1"),
        *("a" * 64 + ".example:1", ".".join(["a" * 60] * 5) + ":1", "exa%6dple.com:443", "*:443"),
        *("::1:443", "2001:db8::1:443", "[::1]", "[::1%lo]:80", "[fe80::1%eth0]:80", "[1.2.3.4]:1"),
        *(
            "127.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "0177.0.0.1:80",
            "1.2.3.4.5:80",
            "1.2.3:80",
        ),
        *("a.0x7f:80", "example.1:80", "[::ffff:10.0.0.5]:80", "[64:ff9b::a00:5]:80"),
        *("[2002:a00:5::1]:80", "[::10.0.0.5]:80", "example.com:443\n", "a\x00b:1", "a\\b:1"),
        *("ex\u2024ample.com:4\u0664", "\u0661.example:443\u0661", "[::1]x:80", "#:1", "a?:1"),
    ],
)
def test_what_is_no_target(text):
    with pytest.raises(InvalidInputError):
        parse_target(text)


@given(names, ports)
def test_every_name_is_allowed_by_itself_in_any_case(name, port):
    listed = AllowList([f"{name}:{port}"])
    assert listed.allows(parse_target(f"{name.upper()}.:{port}"))


@given(names, names, ports, ports)
@example("a.example", "b.a.example", 1, 1)
@example("example.com", "notexample.com", 1, 1)
def test_nothing_but_an_entry_is_allowed(entry, asked, port, other):
    same = (entry, port) == (asked, other)
    assert AllowList([f"{entry}:{port}"]).allows(Target(asked, other)) is same


@given(names, names.filter(lambda name: "." in name), ports)
@example("x", "example.org", 443)
def test_a_wildcard_stands_for_whole_labels_to_the_left(left, right, port):
    listed = AllowList([f"*.{right}:{port}"])
    assert listed.allows(Target(f"{left}.{right}", port))
    assert not listed.allows(Target(right, port))
    assert not listed.allows(Target(f"{left}{right}", port)) or "." in left
    assert not listed.allows(Target(f"{left}.{right}", port % 65535 + 1))
    assert not listed.allows(Target(f"{right}.{left}", port)) or f"{right}.{left}".endswith(
        f".{right}"
    )


@given(st.ip_addresses(), ports)
def test_an_address_is_its_own_entry_and_no_names(address, port):
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    try:
        target = parse_target(text)
    except InvalidInputError:
        assert isinstance(address, ipaddress.IPv6Address)
        return
    assert AllowList([text]).allows(target)
    assert not AllowList(["*.example.org:443", "example.org:443"]).allows(target)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_is_read_as_something_else(entry, asked):
    """Whatever is accepted has one form, and only that form is allowed."""
    try:
        listed, target = AllowList([entry]), parse_target(asked)
    except InvalidInputError:
        return
    assert listed.allows(target) == (str(target) in listed.entries)


@pytest.mark.parametrize(
    "entry",
    [
        *("*:443", "*.com:443", "*.1.2.3.4:443", "a.*.example.org:443", "*a.example.org:443"),
        *("*.*.example.org:443", "*.example.org", "*.example.org:*", "example.org:*", "*.:443"),
    ],
)
def test_what_is_no_entry(entry):
    with pytest.raises(InvalidInputError, match="the network allows host:port, not"):
        Limits(network=(entry,))


def test_a_text_is_no_list():
    with pytest.raises(InvalidInputError, match=r"a tuple of host:port, not 'example\.com:443'"):
        Limits(network="example.com:443")


def test_any_sequence_of_entries_is_kept_as_a_tuple():
    assert Limits(network=["a.example:443"]) == Limits(network=("a.example:443",))
    assert hash(Limits(network=["a.example:443"]))
    assert Limits(network=()).network == ()


def test_a_list_has_an_end():
    AllowList(f"h{i}.example:443" for i in range(256))
    with pytest.raises(InvalidInputError, match="256"):
        AllowList(f"h{i}.example:443" for i in range(257))


def test_the_line_that_allows_it_has_what_is_allowed_already():
    listed = AllowList(["b.example:443", "*.example.org:80"])
    line = listed.line_for(parse_target("[2001:db8::1]:25"))
    assert line == 'network = ["*.example.org:80", "b.example:443", "[2001:db8::1]:25"]'
    assert AllowList(eval(line.partition("=")[2])).allows(Target("2001:db8::1", 25))
