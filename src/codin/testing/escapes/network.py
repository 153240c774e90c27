"""Networks and sockets of the host."""

from __future__ import annotations

from codin.testing.escapes.base import Attempt, Code
from codin.testing.escapes.weaken import Weaker, caps, host_etc, master, no_filter, share, show

_UNREACHED = (
    "ECONNREFUSED",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "EADDRNOTAVAIL",
    "EACCES",
    "EPERM",
    "EAFNOSUPPORT",
    "ENOENT",
    "TimeoutError",
    "nothing",
)
_REFUSED = ("EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ENOSYS", "ESOCKTNOSUPPORT")
_SHARED = Weaker("the host's network is shared", (share("net"),))
_SOCKET = "s = socket.socket({family}, {kind}); s.settimeout(2)\n"


def _reach(identity: str, tries: str, code: str, control: Weaker = _SHARED) -> Attempt:
    return Attempt(identity, tries, _UNREACHED, Code(code), control)


def _tcp(address: str, family: str = "socket.AF_INET") -> str:
    opened = _SOCKET.format(family=family, kind="socket.SOCK_STREAM")
    return f"{opened}s.connect({address}); secret(s.recv(100))"


def _unix(*addresses: str) -> str:
    return (
        "def reach(at):\n    s = socket.socket(socket.AF_UNIX); s.settimeout(2)\n"
        "    s.connect(at); data = s.recv(100); secret(data); got(at)\n"
        f"each([{', '.join(addresses)}], reach)"
    )


def _way(address: str, family: str = "socket.AF_INET") -> str:
    """Whether there is a way to an address, without sending anything there."""
    return (
        f"s = socket.socket({family}, socket.SOCK_DGRAM)\n"
        f"s.connect(({address!r}, 80)); got(s.getsockname())"
    )


def _kind(identity: str, tries: str, kind: tuple[int, int, int], control: Weaker) -> Attempt:
    code = f"s = socket.socket{kind}; got('a socket of that kind')"
    return Attempt(identity, tries, _REFUSED, Code(code), control)


_NO_FILTER = Weaker("no filter of system calls", (no_filter,))
_RAW = Weaker(
    "no filter, CAP_NET_RAW, and root of its namespaces", (no_filter, master, caps("CAP_NET_RAW"))
)

ATTEMPTS = (
    _reach(
        "loopback", "connect to a service on the host's loopback", _tcp("('127.0.0.1', H['tcp'])")
    ),
    _reach(
        "loopback-ipv6",
        "connect to a service on the host's loopback by IPv6",
        _tcp("('::1', H['tcp6'])", "socket.AF_INET6"),
    ),
    _reach(
        "host-address",
        "connect to a service by the host's own addresses",
        "each(H['addresses'] or ['192.0.2.1'],"
        " lambda a: secret(socket.create_connection((a, H['tcp']), 2).recv(100)))",
    ),
    _reach(
        "datagram",
        "send a datagram to the host",
        _SOCKET.format(family="socket.AF_INET", kind="socket.SOCK_DGRAM")
        + "s.sendto(b'x', ('127.0.0.1', H['udp'])); secret(s.recv(100))",
    ),
    _reach(
        "name-lookup",
        "ask a name server of the host's",
        _SOCKET.format(family="socket.AF_INET", kind="socket.SOCK_DGRAM")
        + "q = bytes.fromhex('123401000001000000000000076578616d706c6503636f6d0000010001')\n"
        "s.sendto(q, ('127.0.0.1', H['udp'])); secret(s.recv(500))",
    ),
    _reach(
        "name-server-known",
        "learn which name server the host uses",
        "rows = open('/etc/resolv.conf').read()\nif '127.0.0.1' not in rows: got(rows)",
        Weaker("the host's /etc is shown", (host_etc,)),
    ),
    _reach("outside", "find a way to the internet", _way("198.51.100.1")),
    _reach("metadata", "find a way to the machine's metadata service", _way("169.254.169.254")),
    _reach("private-network", "find a way to the networks of the host", _way("10.0.0.1")),
    _reach(
        "multicast",
        "send to everybody on the host's network",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.setsockopt(0, 33, 0); s.sendto(b'', ('224.0.0.251', 9)); got('sent')",
    ),
    _reach(
        "interfaces",
        "see the host's interfaces",
        "found = [n for _, n in socket.if_nameindex() if n != 'lo']\nif found: got(found)",
    ),
    _reach(
        "routes",
        "read the host's routes",
        "rows = open('/proc/net/route').read().splitlines()[1:]\nif rows: got(rows)",
    ),
    _reach(
        "connections",
        "read the host's connections",
        "rows = open('/proc/net/tcp').read()\n"
        "if f\":{H['tcp']:04X} \" in rows: got('the listener of the host')",
    ),
    _reach(
        "abstract-socket", "connect to an abstract Unix socket of the host", _unix("H['abstract']")
    ),
    _reach(
        "x11",
        "connect to the host's screen",
        _unix("H['x11']", "'/tmp/.X11-unix/X0'", "H['folder'] + '/X0'"),
    ),
    _reach(
        "docker-socket",
        "connect to the container engine",
        _unix(
            "'/var/run/docker.sock'",
            "'/run/docker.sock'",
            "'/run/containerd/containerd.sock'",
            "H['folder'] + '/docker.sock'",
        ),
        Weaker("a folder with such a socket is shown", (show(),)),
    ),
    _reach(
        "dbus",
        "connect to the host's message bus",
        _unix(
            "'/run/dbus/system_bus_socket'",
            "f'/run/user/{os.getuid()}/bus'",
            "H['folder'] + '/bus'",
        ),
        Weaker("a folder with such a socket is shown", (show(),)),
    ),
    _reach(
        "port-of-host",
        "listen on one of the host's addresses",
        "each(H['addresses'] or ['192.0.2.1'], lambda a: (socket.socket("
        "socket.AF_INET6 if ':' in a else socket.AF_INET).bind((a, 0)), got(a)))",
    ),
    _kind("raw-socket", "open a raw socket", (2, 3, 1), _RAW),
    _kind("raw-socket-ipv6", "open a raw socket of IPv6", (10, 3, 58), _RAW),
    _kind("packet-socket", "open a socket below IP", (17, 3, 0), _RAW),
    _kind(
        "vsock",
        "open a socket to the machine around this machine, which no namespace divides",
        (40, 1, 0),
        _NO_FILTER,
    ),
    Attempt(
        "network-changed",
        "add an address to an interface",
        ("EPERM", "EACCES", "EAFNOSUPPORT"),
        Code("""
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.settimeout(2)
body = struct.pack("BBBBi", 2, 32, 0, 0, 1) + struct.pack("HH", 8, 2) + bytes([192, 0, 2, 77])
s.send(struct.pack("IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
error = -struct.unpack_from("i", s.recv(1000), 16)[0]
if error: raise OSError(error, "")
got("added")
"""),
        Weaker("CAP_NET_ADMIN, and root of its namespaces", (master, caps("CAP_NET_ADMIN"))),
    ),
)
