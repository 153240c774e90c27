"""The SSRF guard: what is inside stays out of reach, however it is spelt, and whenever it moves."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codin.errors import InvalidInputError
from codin.security import OutgoingGuard, OutgoingRefused
from codin.security.outgoing import Resolver, is_public

INSIDE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "2001:2::1",
    "3fff::1",
    "4000::1",
    "100::1",
]
OUTSIDE = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::808:808"]


def names(**addresses: list[str]) -> Resolver:
    async def resolve(host: str, port: int) -> list[str]:
        return addresses.get(host.replace(".", "_"), [])

    return resolve


@pytest.mark.parametrize("address", INSIDE)
async def test_addresses_inside_are_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    guard = OutgoingGuard(resolve=names(x_example=["1.1.1.1", address]))
    with pytest.raises(OutgoingRefused, match="not public"):
        await guard.check("https://x.example/")


@pytest.mark.parametrize("address", OUTSIDE)
async def test_addresses_outside_are_not(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    await OutgoingGuard(resolve=names(x_example=[address])).check("https://x.example:8443/a?b=c")


@given(st.ip_addresses(v=4))
def test_an_address_inside_is_inside_in_every_form(address: ipaddress.IPv4Address) -> None:
    if is_public(address):
        return
    number = int(address)
    for form in (
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address(number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x26064700 << 96) | (0x5EFE << 32) | number),
    ):
        assert not is_public(form), form


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://localhost:80/",
        "http://127。0。0。1/",
        "http://①②⑦.0.0.1/",
    ],
)
async def test_spellings_of_this_machine_are_refused_by_the_real_resolver(url: str) -> None:
    with pytest.raises(OutgoingRefused):
        await OutgoingGuard().check(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "is not connected to"),
        ("gopher://x.example/", "is not connected to"),
        ("//x.example/", "is not connected to"),
        ("", "is not connected to"),
        ("https://", "names no host"),
        ("https:///path", "names no host"),
        ("https://me:secret@x.example/", "carries a password"),
        ("https://x.example@127.0.0.1/", "carries a password"),
        ("https://nowhere.example/", "has no address"),
        ("https://x.example:99999/", "no port 99999"),
        ("https://x.example:0/", "no port 0"),
        ("https://[::1/", "no URL"),
        ("https://x\x00.example/", "no URL"),
        ("https://x.example:0x50/", "no URL"),
    ],
)
async def test_what_is_no_address_of_a_service(url: str, said: str) -> None:
    with pytest.raises(OutgoingRefused, match=said):
        await OutgoingGuard(resolve=names(x_example=["1.1.1.1"])).check(url)


@pytest.mark.parametrize(
    ("entry", "url", "address"),
    [
        ("127.0.0.1", "http://x.example/", "127.0.0.1"),
        ("127.0.0.0/8", "http://x.example/", "::ffff:127.3.0.1"),
        ("fd00::/8", "http://x.example/", "fd00::1"),
        ("X.Example", "http://x.example./", "10.0.0.1"),
        ("x.example:8080", "http://x.example:8080/", "10.0.0.1"),
    ],
)
async def test_operators_allow_what_they_mean(entry: str, url: str, address: str) -> None:
    resolve = names(x_example=[address])
    await OutgoingGuard([entry], resolve=resolve).check(url)
    with pytest.raises(OutgoingRefused):
        await OutgoingGuard(["10.9.9.9", "y.example"], resolve=resolve).check(url)


async def test_a_port_that_is_allowed_opens_no_other() -> None:
    guard = OutgoingGuard(["x.example:8080"], resolve=names(x_example=["10.0.0.1"]))
    with pytest.raises(OutgoingRefused):
        await guard.check("http://x.example/")


@pytest.mark.parametrize(
    "entry", ["", "*", "*.example", "http://x.example", "x.example/path", "a@b"]
)
def test_what_cannot_be_allowed(entry: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be allowed"):
        OutgoingGuard([entry])


Answer = Callable[[str, dict[str, str]], tuple[str, list[str]]]


@asynccontextmanager
async def service(answer: Answer) -> AsyncIterator[tuple[int, list[str]]]:
    """A server on loopback, and the Host headers that it has seen."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = text.strip().split("\r\n")
        headers = {k.lower(): v for k, _, v in (each.partition(": ") for each in lines)}
        seen.append(headers["host"])
        status, extra = answer(line.split()[1], headers)
        writer.write(
            "\r\n".join([f"HTTP/1.1 {status}", "content-length: 0", *extra, "", ""]).encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


async def test_the_client_connects_to_the_address_that_was_checked_and_keeps_the_name() -> None:
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.2", "127.0.0.1"]  # nothing listens on the first

    guard = OutgoingGuard(["127.0.0.0/8"], resolve=resolve)
    async with (
        service(lambda path, headers: ("204 No Content", [])) as (port, seen),
        guard.client() as client,
    ):
        answer = await client.get(f"http://hook.example:{port}/x")
    assert answer.status_code == 204
    assert seen == [f"hook.example:{port}"]
    assert asked == [("hook.example", port)], "it is resolved once: there is nothing to rebind"


async def test_a_name_that_moves_inside_after_the_check_is_not_connected_to() -> None:
    answers = [["1.1.1.1"], ["127.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async with service(lambda path, headers: ("204 No Content", [])) as (port, seen):
        guard = OutgoingGuard(resolve=resolve)
        url = f"http://rebinding.example:{port}/"
        await guard.check(url)
        async with guard.client() as client:
            with pytest.raises(OutgoingRefused, match="not public"):
                await client.get(url)
    assert seen == []
    assert answers == []


@pytest.mark.parametrize(
    "target", ["http://inside.example:{port}/", "http://[::1]:{port}/", "file:///etc/passwd"]
)
async def test_a_redirect_to_the_inside_is_not_followed(target: str) -> None:
    resolve = names(outside_example=["127.0.0.1"], inside_example=["127.0.0.1"])

    def answer(path: str, headers: dict[str, str]) -> tuple[str, list[str]]:
        return "302 Found", [f"location: {target.format(port=port)}"]

    async with service(answer) as (port, seen):
        guard = OutgoingGuard([f"outside.example:{port}"], resolve=resolve)
        async with guard.client() as client:
            first = await client.get(f"http://outside.example:{port}/")
            assert first.status_code == 302, "not followed unless asked for"
            with pytest.raises((OutgoingRefused, httpx.UnsupportedProtocol)):
                await client.get(f"http://outside.example:{port}/", follow_redirects=True)
    assert seen == [f"outside.example:{port}"] * 2


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service(lambda path, headers: ("204 No Content", [])) as (port, seen):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        guard = OutgoingGuard(resolve=names(x_example=["10.0.0.1"]))
        async with guard.client() as client:
            with pytest.raises(OutgoingRefused):
                await client.get("http://x.example/")
    assert seen == []


async def test_a_resolver_that_hangs_or_fails_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    async def fails(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    monkeypatch.setattr("codin.security.outgoing._RESOLVE_SECONDS", 0.05)
    for resolve in (hangs, fails):
        with pytest.raises(OutgoingRefused, match="has no address"):
            await OutgoingGuard(resolve=resolve).check("https://x.example/")
