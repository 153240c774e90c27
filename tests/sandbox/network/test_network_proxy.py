"""The proxy by itself: what it lets through, what it refuses, and that it ends."""

import asyncio
import hashlib
import os
import random
import socket
import threading
import time

import httpx
import pytest

from codin.sandbox.network import ProxyLimits, ProxyRoom
from codin.testing.small_server import small_server

pytestmark = pytest.mark.slow


def get(url, *headers, method="GET"):
    host = [] if any(each.startswith("Host:") for each in headers) else ["Host: x"]
    lines = [f"{method} {url} HTTP/1.1", *host, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def test_a_request_of_plain_http_is_passed_on(door, server):
    answer = await door.ask(get(f"http://allowed.test:{server.port}/a?b=c%20d", "Accept: x"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"hello from /a?b=c%20d")
    assert (b"accept", b"x") in list(server.heads[0].headers)
    assert door.proxy.refusals == ()


async def test_a_client_of_http_goes_through(door, server):
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{door.port}") as client:
        for number in range(3):
            answer = await client.get(f"http://allowed.test:{server.port}/{number}")
            assert answer.text == f"hello from /{number}"


async def test_a_tunnel_is_bytes_both_ways_with_ends_of_their_own(door, server):
    reader, writer = await door.tunnel(f"allowed.test:{server.port}")
    writer.write(b"GET /inner HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n")
    writer.write_eof()  # one side has said all, and the other goes on
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.endswith(b"hello from /inner")
    assert (b"host", b"whatever") in list(server.heads[0].headers)  # untouched
    writer.close()


async def test_what_is_sent_along_with_connect_is_not_lost(door, server):
    target = f"allowed.test:{server.port}"
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    early = "GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await door.ask((request + early).encode())
    assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\n")
    assert answer.endswith(b"hello from /early")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("how", ["forward", "tunnel"])
async def test_much_goes_through_whole(door, server, chunked, how):
    body = os.urandom(1 << 20) * 12

    async def parts():
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    url = f"http://allowed.test:{server.port}/echo" + ("?chunked" if chunked else "")
    if how == "forward":
        async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{door.port}") as client:
            answer = await client.post(url, content=parts() if chunked else body)
        got = answer.content
    else:
        reader, writer = await door.tunnel(f"allowed.test:{server.port}")
        writer.write(
            get("/echo", "Host: x", f"Content-Length: {len(body)}", "Connection: close").replace(
                b"GET", b"POST", 1
            )
        )
        writer.write(body)
        got = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")[2]
        writer.close()
    assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()


async def test_a_head_alone_has_no_body(door, server):
    answer = await door.ask(get(f"http://allowed.test:{server.port}/x", method="HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
    refused = await door.ask(get("http://other.test/x", method="HEAD"))
    assert refused.startswith(b"HTTP/1.1 403 ")
    assert refused.endswith(b"\r\n\r\n")


async def test_an_old_client_is_answered_in_its_version(door, server):
    url = f"http://allowed.test:{server.port}/bytes/5?chunked"
    answer = await door.ask(f"GET {url} HTTP/1.0\r\n\r\n".encode())
    assert answer.endswith(b"\r\n\r\nxxxxx")
    assert b"chunked" not in answer.lower()


async def test_the_host_header_is_where_the_request_goes(door, server):
    url = f"http://allowed.test:{server.port}/"
    assert await door.status(get(url, "Host: evil.test")) == 200
    hosts = [value for name, value in server.heads[0].headers if name == b"host"]
    assert hosts == [f"allowed.test:{server.port}".encode()]


async def test_what_is_of_one_connection_stays_there(door, server):
    url = f"http://allowed.test:{server.port}/"
    mine = ("Proxy-Authorization: Basic eA==", "Proxy-Connection: keep-alive", "TE: gzip")
    named = (
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: 5",
        "Upgrade: h2c",
        "X-End: 2",
    )
    assert await door.status(get(url, "Host: x", *mine, *named)) == 200
    assert {name for name, _ in server.heads[0].headers} == {b"host", b"connection", b"x-end"}


async def test_lengths_that_disagree_are_not_passed_on(door, server):
    url = f"http://allowed.test:{server.port}/echo"
    both = ("Host: x", "Content-Length: 3", "Transfer-Encoding: chunked")
    answer = await door.ask(get(url, *both, method="POST") + b"4\r\nbody\r\n0\r\n\r\n")
    assert answer.endswith(b"body")
    assert b"content-length" not in {name for name, _ in server.heads[0].headers}
    two = ("Host: x", "Content-Length: 3", "Content-Length: 4")
    assert await door.status(get(url, *two, method="POST") + b"body") == 400
    smuggled = ("Host: x", "Content-Length: 4", "Transfer-Encoding: x, chunked")
    assert await door.status(get(url, *smuggled, method="POST") + b"body") in {400, 501}
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("request_line", "target"),
    [
        ("CONNECT other.test:443", "other.test:443"),
        ("CONNECT allowed.test:1", "allowed.test:1"),
        ("CONNECT 127.0.0.1:{port}", "127.0.0.1:{port}"),
        ("CONNECT [::1]:{port}", "[::1]:{port}"),
        ("CONNECT sub.allowed.test:{port}", "sub.allowed.test:{port}"),
        ("CONNECT allowed.test.evil.test:{port}", "allowed.test.evil.test:{port}"),
        ("GET http://other.test/", "other.test:80"),
        ("GET http://allowed.test/", "allowed.test:80"),
        ("GET http://OTHER.test.:81/x", "other.test:81"),
        ("GET http://[2001:db8::1]/x", "[2001:db8::1]:80"),
        ("GET http://10.0.0.1/x", "10.0.0.1:80"),
    ],
)
async def test_what_is_not_in_the_list_is_refused_with_the_line_to_add(
    door, server, caplog, request_line, target
):
    line, target = request_line.format(port=server.port), target.format(port=server.port)
    answer = await door.ask(f"{line} HTTP/1.1\r\nHost: allowed.test:{server.port}\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    status, reason = head.split(b"\r\n")[0].split(b" ", 2)[1:]
    assert status == b"403"
    assert reason + b"\n" == body
    assert body.decode().startswith(f"codin: {target} is not in the network of this sandbox; ")
    assert body.decode().endswith(f'network = ["allowed.test:{server.port}", "{target}"]\n')
    assert [(each.target, each.times) for each in door.proxy.refusals] == [(target, 1)]
    assert [record.name for record in caplog.records] == ["codin.sandbox.network"]
    assert server.connections == 0


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT allowed.test:{port}@evil.test",
        "CONNECT evil.test@allowed.test:{port}",
        "CONNECT user:password@allowed.test:{port}",
        "CONNECT http://allowed.test:{port}",
        "CONNECT allowed.test",
        "CONNECT allowed.test:{port}/",
        "CONNECT allowed.test:{port}:443",
        "CONNECT allowed.test:+{port}",
        "CONNECT allowed.test:0{port}",
        "CONNECT allowed.test:{port}#",
        "CONNECT allowed%2etest:{port}",
        "CONNECT 0x7f.1:{port}",
        "CONNECT 2130706433:{port}",
        "CONNECT [::ffff:127.0.0.1]:{port}",
        "CONNECT [::1%25lo]:{port}",
        "GET http://user@allowed.test:{port}/",
        "GET http://allowed.test:{port}@evil.test/",
        "GET http://evil.test\\@allowed.test:{port}/",
        "GET http://allowed.test:{port}\\@evil.test/",
        "GET http://evil.test#@allowed.test:{port}/",
        "GET http://allowed.test:99999/",
        "GET https://allowed.test:{port}/",
        "GET ftp://allowed.test:{port}/",
        "GET file:///etc/passwd",
        "GET http:///etc/passwd",
        "GET http:allowed.test:{port}/",
        "GET //allowed.test:{port}/",
        "GET /",
        "OPTIONS *",
        "GET allowed.test:{port}",
        "GET http://allowed%2etest:{port}/",
        "GET http://exa mple:{port}/",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(door, server, line):
    request = (
        f"{line.format(port=server.port)} HTTP/1.1\r\nHost: allowed.test:{server.port}\r\n\r\n"
    )
    status = await door.status(request.encode())
    assert status in {400, 403}
    assert server.connections == 0


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}),
        (b"\x05\x01\x00" + b"\0" * 20 + b"\r\n\r\n", {400}),
        (b"GET\r\n\r\n", {400}),
        (b"GET http://allowed.test/ HTTP/9.9\r\n\r\n", {400, 403, 505}),
        (b"GET http://allowed.test/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
        (b"GET http://allowed.test/ HTTP/1.1\r\nX: \0\r\n\r\n", {400}),
        (b"GET http://allowed.test/ HTTP/1.1\r\n x: folded\r\n\r\n", {400}),
        (b"GET http://allowed.test/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, {431}),
        (b"G" * 70_000, {400, 431}),
        (b"CONNECT " + b"a" * 300 + b":443 HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"CONNECT \xff\xfe:443 HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    ],
)
async def test_what_is_no_request_is_answered_and_ended(door, server, request_, statuses):
    assert await door.status(request_) in statuses
    assert server.connections == 0
    assert await door.status(get(f"http://allowed.test:{server.port}/")) == 200


async def test_no_form_of_a_request_reaches_what_is_not_in_the_list(open_door, server):
    """Both hosts lead to the same server, and the operator allows it: only the list is between."""
    chance = random.Random(4)
    port = server.port
    door = await open_door(f"allowed.test:{port + 1}", private=[f"127.0.0.1:{port + 1}"])
    hosts = ["allowed.test", "ALLOWED.test.", "127.0.0.1", "x.test", "localhost", "[::1]"]
    ports = [f":{port}", f":{port}", f":{port + 1}", f":0{port}", ""]
    noise = [
        *(
            "@",
            "/",
            "//",
            "\\",
            "#",
            "?",
            "%40",
            "%3a",
            ":",
            ".",
            " ",
            "\t",
            "http://",
            "user:word@",
        ),
        *("\r\n", "\r", "\n ", "\x00", "\u00e9", "*.", "allowed.test", f":{port}", "evil.test"),
    ]
    methods = ["CONNECT", "GET", "POST", "HEAD", "connect", "OPTIONS", "GET http://x/ HTTP/1.1\r\n"]
    statuses = set()

    async def one():
        some = ["", "", "", chance.choice(noise)]
        parts = [["http://", "", ""], some, hosts, some, ports, [*some, "/", "/"]]
        target = "".join(chance.choice(each) for each in parts)
        host = chance.choice(["x", f"allowed.test:{port}", f"127.0.0.1:{port}"])
        version = chance.choice(["HTTP/1.1", "HTTP/1.0", "HTTP/1.1 ", ""])
        line = f"{chance.choice(methods)} {target} {version}\r\nHost: {host}\r\n\r\n"
        answer = await door.ask(line.encode("latin-1"), end=True)
        statuses.add(answer[9:12])

    for _ in range(60):
        await asyncio.gather(*(one() for _ in range(8)))
    assert server.connections == 0
    assert {b"400", b"403"} <= statuses
    assert b"200" not in statuses


async def test_a_slow_head_is_ended_in_time(door):
    reader, writer = await door.connect()
    began = time.monotonic()

    async def drip():
        for byte in b"GET http://allowed.test/ HTTP/1.1\r\nX: " + b"x" * 1000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    answer = await asyncio.wait_for(reader.read(), 10)
    dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 5
    writer.close()


@pytest.mark.parametrize("how", ["forward", "tunnel"])
async def test_what_stands_still_is_ended(door, server, how):
    began = time.monotonic()
    if how == "tunnel":
        reader, writer = await door.tunnel(f"allowed.test:{server.port}")
    else:
        reader, writer = await door.connect()
        writer.write(get(f"http://allowed.test:{server.port}/never"))
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(reader.readexactly(1), 10)
    assert 1.0 < time.monotonic() - began < 8
    writer.close()


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.2", "0.0.0.0", "10.0.0.5", "172.16.1.1", "192.168.1.1", "100.64.0.1"),
        *("169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::1", "2002:a9fe:a9fe::"),
        *("2001:db8::1", "2001::1", "fe80::1%1"),
    ],
)
async def test_names_lead_to_public_addresses_only(open_door, server, names, address):
    port = server.port
    names.table["turned.test"] = [[address]]
    names.table["both.test"] = [["93.184.216.34", address]]
    door = await open_door(f"turned.test:{port}", f"both.test:{port}")
    for name in ("turned.test", "both.test"):
        answer = await door.ask(get(f"{name}:{port}", method="CONNECT"))
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"not public" in answer
    assert [each.target for each in door.proxy.refusals] == [
        f"turned.test:{port}",
        f"both.test:{port}",
    ]


@pytest.mark.parametrize(
    "target", ["169.254.169.254:80", "10.0.0.5:80", "[fd00:ec2::254]:80", "[fe80::1]:80"]
)
async def test_an_address_in_the_list_is_not_thereby_public(open_door, target):
    door = await open_door(target)
    assert await door.status(get(target, method="CONNECT")) == 403
    assert await door.status(get(f"http://{target}/latest/meta-data/")) == 403


async def test_a_name_that_turns_is_looked_at_each_time_and_only_once(door, server, names):
    names.table["allowed.test"] = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1"]]
    url = f"http://allowed.test:{server.port}/"
    assert [await door.status(get(url)) for _ in range(3)] == [200, 403, 200]
    assert names.asked == [("allowed.test", server.port)] * 3


async def test_a_sandbox_whose_names_take_long_holds_no_other_up(server):
    async def resolve(name, port):
        if name.endswith(".slow.test"):
            await asyncio.sleep(60)
        return ["127.0.0.1"]

    room = ProxyRoom([f"127.0.0.1:{server.port}"], resolve=resolve)
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    slow, quick = (room.proxy([f"*.{name}.test:{server.port}"], name) for name in ("slow", "quick"))
    servings = [slow.serve(listeners[0]), quick.serve(listeners[1])]
    ports = [each.getsockname()[1] for each in listeners]
    waiting = []
    for number in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        writer.write(get(f"n{number}.slow.test:{server.port}", method="CONNECT"))
        waiting.append((reader, writer))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{ports[1]}") as client:
        answer = await client.get(f"http://a.quick.test:{server.port}/")
    assert (answer.status_code, time.monotonic() - began < 3) == (200, True)
    for _, writer in waiting:
        writer.close()
    for each in servings:
        await each.close()


async def test_a_name_that_is_not_allowed_is_not_even_resolved(door, server, names):
    await door.status(get(f"secret.exfiltrated.test:{server.port}", method="CONNECT"))
    assert names.asked == []


async def test_what_the_operator_allows_of_private_networks(open_door, server, names):
    port = server.port
    names.table["localhost"] = [["127.0.0.1"]]
    names.table["inner.test"] = [["127.0.0.1"]]
    allowed = [f"localhost:{port}", f"inner.test:{port + 1}", "localhost:1"]
    door = await open_door(*allowed, private=[f"inner.test:{port + 1}"])
    assert await door.status(get(f"http://localhost:{port}/")) == 200
    # A name of private networks is not one of this machine, and a port is not another.
    assert await door.status(get(f"inner.test:{port + 1}", method="CONNECT")) == 403
    assert await door.status(get("localhost:1", method="CONNECT")) == 403


async def test_six(open_door, names):
    async with small_server("::1") as server:
        names.table["six.test"] = [["::1"]]
        entries = [f"[::1]:{server.port}", f"six.test:{server.port}"]
        door = await open_door(*entries, private=[f"[::1]:{server.port}"])
        for host in ("[::1]", "[0:0::1]", "six.test"):
            assert await door.status(get(f"http://{host}:{server.port}/")) == 200
        assert (b"host", f"[::1]:{server.port}".encode()) in list(server.heads[0].headers)
        _, writer = await door.tunnel(f"[::1]:{server.port}")
        writer.close()


async def test_a_name_without_an_address_and_a_port_where_nobody_is(open_door, server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    entries = [f"nowhere.test:{server.port}", f"allowed.test:{free}"]
    door = await open_door(*entries, private=[f"127.0.0.1:{free}"])
    for target in entries:
        answer = await door.ask(get(target, method="CONNECT"))
        assert answer.startswith(b"HTTP/1.1 502 "), answer
    assert door.proxy.refusals == ()


async def test_the_second_address_is_tried_when_the_first_takes_nothing(open_door, names):
    async with small_server("127.0.0.1") as server:
        names.table["two.test"] = [["127.0.0.3", "127.0.0.1"]]
        private = [f"127.0.0.3:{server.port}", f"127.0.0.1:{server.port}"]
        door = await open_door(f"two.test:{server.port}", private=private)
        assert await door.status(get(f"http://two.test:{server.port}/")) == 200


async def test_a_server_that_speaks_no_http_is_told(open_door):
    async def nonsense(reader, writer):
        await reader.read(10)
        writer.write(b"SSH-2.0-x\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    door = await open_door(f"allowed.test:{port}", private=[f"127.0.0.1:{port}"])
    assert await door.status(get(f"http://allowed.test:{port}/")) == 502
    listening.close()


async def test_a_server_that_breaks_off_is_seen_to(open_door):
    async def broken(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(broken, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    door = await open_door(f"allowed.test:{port}", private=[f"127.0.0.1:{port}"])
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{door.port}") as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://allowed.test:{port}/")
    listening.close()


async def test_nothing_is_read_ahead_of_a_slow_reader(open_door):
    sent = 0

    async def flood(reader, writer):
        nonlocal sent
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except ConnectionError:
            return

    listening = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    door = await open_door(f"allowed.test:{port}", private=[f"127.0.0.1:{port}"])
    client = socket.create_connection(("127.0.0.1", door.port))
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, get(f"allowed.test:{port}", method="CONNECT"))
    await asyncio.sleep(0.5)
    stopped = sent
    await asyncio.sleep(0.3)
    assert sent == stopped < 32 << 20  # what sockets hold, and no more
    client.close()
    listening.close()


async def test_many_connections_wait_for_their_turn(open_door, server):
    limits = ProxyLimits(connections=4, head_seconds=0.4)
    door = await open_door(limits=limits)
    idle = [await door.connect() for _ in range(20)]
    began = time.monotonic()
    assert await door.status(get(f"http://allowed.test:{server.port}/")) == 200
    assert 0.3 < time.monotonic() - began < 9
    assert server.connections == 1
    for _, writer in idle:
        writer.close()


async def test_refusals_are_kept_once_and_in_bounds(door, caplog):
    for number in range(130):
        await door.status(get(f"h{number % 110}.test:1", method="CONNECT"))
    assert len(door.proxy.refusals) == 100
    assert door.proxy.refusals[0].times == 2
    assert len(caplog.records) == 101
    assert "further ones are not told" in caplog.records[-1].getMessage()


async def test_nothing_that_was_asked_can_write_lines_into_the_log(door, caplog):
    for target in (b"\x1b[31mred:1", b"a\x0bb:1", b"a\x85b:1", b"%0aINFO:x:1", b"a" * 5000):
        await door.ask(b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        await door.ask(b"GET http://" + target + b"/ HTTP/1.1\r\nHost: x\r\n\r\n")
    for record in caplog.records:
        said = record.getMessage()
        assert said.isprintable()
        assert len(said) < 600


async def test_its_end_ends_everything(open_door, server):
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    door = await open_door()
    reader, writer = await door.tunnel(f"allowed.test:{server.port}")
    waiting, sending = await door.connect()
    assert threading.active_count() == threads + 1
    await door.serving.close()
    await door.serving.close()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(waiting.readexactly(1), 5)
    with pytest.raises(ConnectionRefusedError):
        await door.connect()
    writer.close()
    sending.close()
    await asyncio.sleep(0.2)
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) <= files
